#include "postgres/slot_monitor.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/wait.h"
#include "postgres/connection.h"
#include "postgres/slot.h"
#include "postgres/table_watch.h"

namespace outboxx {
namespace {

constexpr auto kInterval = std::chrono::seconds(10);
// A server that does not answer for so long is frozen or black-holed; the replication stream's own watch decides what follows.
constexpr auto kAnswerTimeout = std::chrono::seconds(60);
constexpr std::chrono::milliseconds kFirstReopenWait{1000};
constexpr std::chrono::milliseconds kLongestReopenWait{30'000};
constexpr std::string_view kAdminShutdown = "57P01";

}  // namespace

SlotMonitor::SlotMonitor(Parts parts, Metrics& metrics, TimePoint now)
    : sql_(std::move(parts.sql)),
      options_(parts.options),
      slot_name_(std::move(parts.slot_name)),
      sender_pid_(std::move(parts.sender_pid)),
      tables_(std::move(parts.tables)),
      metrics_(metrics),
      next_wake_(now),
      backoff_(kFirstReopenWait, kLongestReopenWait),
      reopened_(fail(ErrorCode::kPostgresUnreachable, "not tried yet")) {}

int SlotMonitor::fd() const {
  if (task_.is_running()) {
    return task_.fd();
  }
  return sql_ ? sql_->fd() : -1;
}

void SlotMonitor::on_ready(TimePoint now) {
  if (task_.is_running()) {
    take_opened(now);
    return;
  }
  if (!sql_) {
    return;
  }
  if (asked_ == Question::kNone) {
    // Nobody was asked, so it is a farewell or a notice: the next question brings its text to light.
    ask(Question::kSlot, now);
    return;
  }
  take_answer(now);
}

void SlotMonitor::on_time(TimePoint now) {
  if (now < next_wake_) {
    return;
  }
  if (!sql_) {
    reopen();
    return;
  }
  if (asked_ != Question::kNone) {
    report_failure({.code = ErrorCode::kPostgresUnreachable, .message = "no answer for 60 s", .hint = {}, .sqlstate = {}}, now);
    return;
  }
  ask(Question::kSlot, now);
}

void SlotMonitor::reopen() {
  next_wake_ = TimePoint::max();
  task_.start([this](StopSignal stop) { reopened_ = Connection::open(options_, ConnectionMode::kSql, stop); });
}

void SlotMonitor::take_opened(TimePoint now) {
  if (!task_.take_end()) {
    return;
  }
  if (!reopened_) {
    lose(reopened_.error(), now);
    return;
  }
  sql_ = *std::move(reopened_);
  ask(Question::kSlot, now);
}

// Without a word if one was lost before: it was said.
void SlotMonitor::lose(const Error& error, TimePoint now) {
  sql_.reset();
  asked_ = Question::kNone;
  next_wake_ = now + backoff_.next();
  was_admin_shutdown_ = was_admin_shutdown_ || error.sqlstate == kAdminShutdown;
  if (!std::exchange(is_lost_, true)) {
    log::warn("lost the connection that watches the replication slot", {{"slot", slot_name_}, {"reason", error.message}});
  } else {
    log::debug("could not watch the replication slot again", {{"slot", slot_name_}, {"reason", error.message}});
  }
}

// A connection string with several hosts may have led to another server.
Result<> SlotMonitor::accept_reopened(const std::optional<SlotState>& slot) {
  if (!slot || std::to_string(slot->active_pid) != sender_pid_) {
    return fail(ErrorCode::kPostgresUnreachable, "the stream is not from this server");
  }
  is_lost_ = false;
  was_admin_shutdown_ = false;
  backoff_.reset();
  log::info("the replication slot is watched again", {{"slot", slot_name_}});
  return {};
}

void SlotMonitor::ask(Question question, TimePoint now) {
  asked_ = question;
  next_wake_ = now + kAnswerTimeout;
  const auto sent =
      question == Question::kTables ? tables_.ask(*sql_) : sql_->start_query(slot_query(sql_->server_version()), {slot_name_});
  if (!sent) {
    report_failure(sent.error(), now);
  }
}

void SlotMonitor::take_answer(TimePoint now) {
  auto result = sql_->take_result();
  if (!result) {
    report_failure(result.error(), now);
    return;
  }
  if (*result) {
    take(**result, now);
  }
}

void SlotMonitor::take(const QueryResult& answer, TimePoint now) {
  if (asked_ == Question::kTables) {
    tables_result_ = tables_.compare(tables_.parse(answer));
    rest(now);
    return;
  }
  const std::optional<SlotState> slot = parse_slot(answer);
  if (is_lost_) {
    if (const auto accepted = accept_reopened(slot); !accepted) {
      lose(accepted.error(), now);
      return;
    }
  }
  report(slot);
  if (tables_.empty()) {
    rest(now);
    return;
  }
  ask(Question::kTables, now);
}

void SlotMonitor::rest(TimePoint now) {
  asked_ = Question::kNone;
  next_wake_ = now + kInterval;
  last_failure_.clear();
}

void SlotMonitor::report_failure(const Error& error, TimePoint now) {
  const bool is_of_slot = asked_ == Question::kSlot;
  asked_ = Question::kNone;
  if (error.code == ErrorCode::kPostgresUnreachable) {
    lose(error, now);
    return;
  }
  next_wake_ = now + kInterval;
  if (error.message != last_failure_) {
    log::warn(
        is_of_slot ? "could not read the state of the replication slot" : "could not read the state of the streams' tables",
        {{"slot", slot_name_}, {"reason", error.message}});
    last_failure_ = error.message;
  }
}

void SlotMonitor::report(const std::optional<SlotState>& slot) {
  const std::string status = slot ? slot->wal_status : "missing";
  if (slot) {
    publish_slot_metrics(*slot, metrics_);
  }
  if (const auto change = describe_status_change(last_status_, status, slot_name_)) {
    log::write(change->is_warning ? log::Level::kWarn : log::Level::kInfo, change->message,
               {{"slot", slot_name_},
                {"retained_bytes", metrics_.slot_retained_bytes.value()},
                {"safe_bytes", metrics_.slot_safe_bytes.value()}});
  }
  last_status_ = status;
}

void publish_slot_metrics(const SlotState& slot, Metrics& metrics) {
  metrics.confirmed_lsn.set(static_cast<std::int64_t>(slot.confirmed_flush_lsn.value));
  metrics.restart_lsn.set(static_cast<std::int64_t>(slot.restart_lsn.value));
  metrics.slot_lag_bytes.set(slot.unconfirmed_size());
  metrics.slot_retained_bytes.set(slot.retained_size());
  metrics.slot_safe_bytes.set(slot.writable_size().value_or(-1));
}

std::optional<StatusChange> describe_status_change(std::string_view from, std::string_view to, std::string_view slot_name) {
  if (from == to) {
    return std::nullopt;
  }
  const auto change = [&](bool is_warning, std::string_view meaning) {
    return StatusChange{.is_warning = is_warning, .message = fmt::format("replication slot \"{}\" {}", slot_name, meaning)};
  };
  if (to == "reserved") {
    return change(false, "is well again: the WAL that it needs is within max_wal_size");
  }
  if (to == "extended") {
    return change(true, "keeps more WAL than max_wal_size on the server's disk");
  }
  if (to == "unreserved") {
    return change(true, "is about to be lost: the next checkpoints may remove WAL that it needs");
  }
  if (to == "lost") {
    return change(true, "is lost: the server removed WAL that it needs");
  }
  if (to == "missing") {
    return change(true, "does not exist any more: somebody dropped it");
  }
  return change(true, fmt::format("has the unknown wal_status \"{}\"", to));
}

}  // namespace outboxx
