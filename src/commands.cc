#include "commands.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/log_line.h"
#include "base/metrics.h"
#include "base/scrub.h"
#include "base/signal_fd.h"
#include "base/standard_output.h"
#include "base/time.h"
#include "format/json_writer.h"
#include "http_server.h"
#include "make_sink.h"
#include "postgres/connection.h"
#include "postgres/preflight.h"
#include "postgres/slot.h"
#include "sink/kafka_config.h"
#include "snapshot_mailbox.h"
#include "supervisor.h"

namespace outboxx {
namespace {

constexpr std::chrono::seconds kSinkOpenTimeout{10};

void prepare_metrics(const Config& config, Metrics& metrics) {
  for (const StreamConfig& stream : config.streams) {
    metrics.streams.emplace_back().name = stream.name;
  }
}

Check check_of(std::string name, const Result<>& result) {
  Check check{.name = std::move(name), .message = "ok", .hint = {}};
  if (!result) {
    check.status = Check::Status::kFailed;
    check.code = result.error().code;
    check.message = result.error().message;
    check.hint = result.error().hint;
  }
  return check;
}

std::vector<Check> check_source(const Config& config, StopSignal stop) {
  auto sql = Connection::open(config.postgres, ConnectionMode::kSql, stop);
  if (!sql) {
    return {check_of("PostgreSQL connection", std::unexpected(sql.error()))};
  }
  std::vector<Check> checks = check_postgres(*sql, config.postgres, config.streams, stop);
  const auto replication = Connection::open(config.postgres, ConnectionMode::kReplication, stop);
  checks.push_back(check_of("replication connection", replication ? Result<>{} : std::unexpected(replication.error())));
  return checks;
}

std::vector<Check> check_sink(const Config& config, StopSignal stop) {
  const auto missing_topics = find_missing_topics(config, Clock::now() + kSinkOpenTimeout, stop);
  if (!missing_topics) {
    return {check_of("sink", std::unexpected(missing_topics.error()))};
  }
  std::vector<Check> checks{check_of("sink", {})};
  for (const std::string& topic : *missing_topics) {
    // Whether the broker would create it, only an attempt would tell.
    checks.push_back(
        {.name = "topic " + topic,
         .status = Check::Status::kWarned,
         .message = "topic \"" + topic + "\" does not exist: \"outboxx run\" works only if the broker creates it",
         .hint = "Create it, with the partitions it is to keep: kafka-topics.sh --bootstrap-server BROKER --create "
                 "--topic '" +
                 topic + "' --partitions 6 --replication-factor 3"});
  }
  return checks;
}

std::string_view status_word(Check::Status status) {
  switch (status) {
    case Check::Status::kPassed:
      return "ok";
    case Check::Status::kWarned:
      return "warning";
    case Check::Status::kFailed:
      return "failed";
  }
  return "";
}

// Every line of the text, indented, so that a list of faults or statements stays readable under its check.
void append_indented(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    out.append("         ").append(log::printable(text.substr(0, end))).append("\n");
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
}

std::string checks_as_text(const std::vector<Check>& checks) {
  std::string out;
  for (const Check& check : checks) {
    std::string word(status_word(check.status));
    word.resize(9, ' ');
    out.append(word).append(log::printable(check.name)).append("\n");
    if (check.status != Check::Status::kPassed) {
      append_indented(out, check.message);
      append_indented(out, check.hint);
    }
  }
  return out;
}

std::string checks_as_json(const std::vector<Check>& checks, bool passed) {
  std::string out = passed ? R"({"ok":true,"checks":[)" : R"({"ok":false,"checks":[)";
  for (const Check& check : checks) {
    const auto append = [&out](std::string_view key, std::string_view value) {
      out.append(key);
      append_json_string(out, scrub_secrets(value));
    };
    append(R"({"name":)", check.name);
    append(R"(,"status":)", status_word(check.status));
    append(R"(,"message":)", check.message);
    append(R"(,"hint":)", check.hint);
    if (check.status == Check::Status::kFailed) {
      out.append(R"(,"exit_code":)").append(std::to_string(exit_code(check.code)));
    }
    out.append("},");
  }
  out.back() = ']';
  return out.append("}\n");
}

// An error has said everything; a warning of the configuration is a check of its own.
std::vector<Check> run_checks(const std::string& config_path, StopSignal stop) {
  const auto config = load_config(config_path);
  std::vector<Check> checks{check_of("configuration", config ? Result<>{} : std::unexpected(config.error()))};
  if (!config) {
    return checks;
  }
  for (const std::string& warning : config->warnings) {
    checks.push_back({.name = "configuration", .status = Check::Status::kWarned, .message = warning, .hint = {}});
  }
  for (Check& check : check_source(*config, stop)) {
    checks.push_back(std::move(check));
  }
  for (Check& check : check_sink(*config, stop)) {
    checks.push_back(std::move(check));
  }
  return checks;
}

Result<> verdict_of(const std::vector<Check>& checks) {
  const Check* const decisive = decisive_failure(checks);
  if (decisive == nullptr) {
    return {};
  }
  if (decisive->code == ErrorCode::kInterrupted) {
    return fail(ErrorCode::kInterrupted, "interrupted");
  }
  const auto is_failed = [](const Check& check) { return check.status == Check::Status::kFailed; };
  return fail(decisive->code, std::to_string(std::ranges::count_if(checks, is_failed)) + " of " +
                                  std::to_string(checks.size()) + " checks failed");
}

std::string slot_as_text(std::string_view name, const SlotState& slot) {
  std::string out;
  const auto line = [&out](std::string_view key, std::string_view value) {
    std::string padded(key);
    padded.resize(22, ' ');
    out.append(padded).append(log::printable(value)).append("\n");
  };
  line("slot", name);
  line("plugin", slot.plugin);
  line("database", slot.database);
  line("active", slot.is_active ? "yes, PID " + std::to_string(slot.active_pid) : "no");
  line("confirmed_flush_lsn", to_string(slot.confirmed_flush_lsn));
  line("restart_lsn", to_string(slot.restart_lsn));
  line("current_wal_lsn", to_string(slot.current_wal_lsn));
  const std::optional<std::int64_t> writable = slot.writable_size();
  line("not confirmed, bytes", std::to_string(slot.unconfirmed_size()));
  line("kept on disk, bytes", std::to_string(slot.retained_size()));
  line("may be written, bytes", writable ? std::to_string(*writable) : "no limit is set");
  line("wal_status", slot.wal_status);
  if (!slot.invalidation_reason.empty()) {
    line("invalidation_reason", slot.invalidation_reason);
  }
  return out;
}

}  // namespace

Result<> run_pipeline(const Config& config, bool wait) {
  // First of all: threads that start later inherit the signal mask.
  const SignalFd signals = TRY(SignalFd::create());
  for (const std::string& warning : config.warnings) {
    log::warn(warning);
  }
  if (config.sink == SinkType::kStdout) {
    log::forbid_status();
  }
  Metrics metrics;
  SnapshotMailbox mailbox;
  prepare_metrics(config, metrics);
  std::unique_ptr<HttpServer> http;
  if (config.observability) {
    http = TRY(HttpServer::start(*config.observability, metrics, mailbox,
                                 {.version = OUTBOXX_VERSION, .libpq = libpq_version(), .librdkafka = librdkafka_version()}));
  }
  log::info("starting", {{"version", OUTBOXX_VERSION}, {"libpq", libpq_version()}, {"librdkafka", librdkafka_version()}});
  Result<> ended = supervise(config, signals, metrics, mailbox, wait ? UnreachableAtStart::kWait : UnreachableAtStart::kGiveUp);
  const bool is_interrupted = !ended && ended.error().code == ErrorCode::kInterrupted;
  if (ended || is_interrupted) {
    log::info("stopped", {{"delivered", metrics.records_delivered.value()}});
  }
  // A copy that is not finished is no success. All else goes on from there at the next start.
  return is_interrupted && config.postgres.snapshot.mode != SnapshotMode::kOnly ? Result<>() : ended;
}

Result<> run_check(const std::string& config_path, bool json) {
  const SignalFd signals = TRY(SignalFd::create());
  const std::vector<Check> checks = run_checks(config_path, signals.stop());
  const Result<> verdict = verdict_of(checks);
  TRY(print(json ? checks_as_json(checks, verdict.has_value()) : checks_as_text(checks)));
  return verdict;
}

Result<> show_slot(const Config& config) {
  const SignalFd signals = TRY(SignalFd::create());
  Connection sql = TRY(Connection::open(config.postgres, ConnectionMode::kSql, signals.stop()));
  const auto slot = TRY(read_slot(sql, config.postgres.slot_name, signals.stop()));
  if (!slot) {
    return fail(ErrorCode::kSlot, "replication slot \"" + config.postgres.slot_name + "\" does not exist",
                "\"outboxx run\" creates it at its first start.");
  }
  return print(slot_as_text(config.postgres.slot_name, *slot));
}

Result<> drop_slot(const Config& config, const std::string& confirm) {
  const std::string& name = config.postgres.slot_name;
  if (confirm != name) {
    return fail(ErrorCode::kUsage, "slot \"" + name + "\" was not dropped",
                "Changes that were not streamed are lost for this pipeline once the slot is gone. To drop it, add --confirm " +
                    name + ".");
  }
  const SignalFd signals = TRY(SignalFd::create());
  Connection sql = TRY(Connection::open(config.postgres, ConnectionMode::kSql, signals.stop()));
  TRY(drop_slot(sql, name, signals.stop()));
  return print("dropped replication slot \"" + name + "\"\nThe publication was kept. To drop it: DROP PUBLICATION " +
               quote_sql_identifier(config.postgres.publication_name) + ";\n");
}

int exit_code(ErrorCode code) {
  return code == ErrorCode::kInterrupted ? 128 + SignalFd::pending().value_or(SIGINT) : std::to_underlying(code);
}

std::string version_text() {
  return std::string("outboxx ") + OUTBOXX_VERSION + "\nlibpq " + libpq_version() + "\nlibrdkafka " + librdkafka_version() +
         "\n";
}

}  // namespace outboxx
