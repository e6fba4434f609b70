#include "simulation/checker.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

namespace outboxx::simulation {
namespace {

using std::chrono::milliseconds;

constexpr Duration kAfterMove = milliseconds(1000);
constexpr Duration kAnswer = milliseconds(100);
constexpr Duration kSlack = milliseconds(2);  // poll(2) waits whole milliseconds

std::string describe(const EventId& id) {
  std::string text;
  append_event_id(text, id);
  return text;
}

[[noreturn]] void violation(const std::string& text) {
  throw Violation(text);
}

std::string quoted(const std::string& text) {
  return '"' + text + '"';
}

const char* name_of(char kind) {
  return kind == 'I' ? "INSERT" : kind == 'U' ? "UPDATE" : "DELETE";
}

// docs/formats.md, for a table of an integer and texts without special characters.
std::string expected_value(const CommittedTransaction& transaction, const RowChange& change) {
  const TableVersion& table = *change.table;
  const Row& row = change.kind == 'D' ? change.old_row : change.new_row;
  std::string data;
  for (std::size_t column = 0; column < row.size(); ++column) {
    if (change.kind == 'D' && change.old_kind == 'K' && !table.columns[column].is_key) {
      continue;
    }
    data += (data.empty() ? "" : ",") + quoted(table.columns[column].name) + ":";
    const Cell& cell = row[column];
    data += cell.kind == 'n'                       ? "null"
            : cell.kind == 'u'                     ? "\"__outboxx_unknown_value__\""
            : table.columns[column].type_oid == 23 ? cell.text
                                                   : quoted(cell.text);
  }
  const auto seconds = std::chrono::floor<std::chrono::seconds>(transaction.commit_time).time_since_epoch().count();
  return R"({"op":")" + std::string(name_of(change.kind)) + R"(","data":{)" + data +
         R"(},"meta":{"source":"postgres","resource":")" + table.schema + "." + table.name + R"(","timestamp":)" +
         std::to_string(seconds) + R"(,"lsn":")" + to_string(change.lsn) + "\"}}";
}

}  // namespace

std::size_t partition_of(const std::string& key, std::size_t partitions) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char byte : key) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211U;
  }
  return hash % partitions;
}

void Checker::committed(const CommittedTransaction& transaction) {
  transactions_.push_back({.commit_lsn = transaction.commit_lsn});
  std::uint64_t ordinal = 0;
  for (const RowChange& change : transaction.changes) {
    if (change.kind != 'T' && change.table->name == "orders") {
      expect(0, transaction, change, ordinal, 0);
    } else if (change.kind != 'T' && change.table->name == "items") {
      expect(1, transaction, change, ordinal, 0);
      if (change.kind != 'U') {
        expect(2, transaction, change, ordinal, 1);
      }
    }
    ++ordinal;
  }
  transactions_.back().records = transactions_.back().not_stored;
  while (first_incomplete_ < transactions_.size() && transactions_[first_incomplete_].not_stored == 0) {
    ++first_incomplete_;
  }
}

void Checker::expect(std::size_t stream, const CommittedTransaction& transaction, const RowChange& change,
                     std::uint64_t ordinal, std::uint32_t part) {
  const std::string& key = (change.kind == 'D' ? change.old_row : change.new_row)[0].text;
  Log& log = logs_[stream * partitions_ + partition_of(key, partitions_)];
  log.expected.push_back({.id = {.commit_lsn = transaction.commit_lsn, .ordinal = ordinal, .part = part},
                          .key = key,
                          .value = expected_value(transaction, change),
                          .transaction = transactions_.size() - 1});
  ++transactions_.back().not_stored;
}

void Checker::stored(std::size_t stream, const std::string& key, const std::string& value, const EventId& id, bool is_split) {
  Log& log = logs_[stream * partitions_ + partition_of(key, partitions_)];
  const auto order = [](const EventId& event) { return std::tuple(event.commit_lsn, event.ordinal, event.part); };
  const auto found =
      std::ranges::lower_bound(log.expected, order(id), {}, [&](const Expected& expected) { return order(expected.id); });
  if (found == log.expected.end() || order(found->id) != order(id)) {
    violation("phantom: nobody committed " + describe(id) + " for key " + key + ": " + value);
  }
  if (found->key != key || found->value != value) {
    violation("content: " + describe(id) + " is " + value + ", expected " + found->value);
  }
  trace_.note("stored", id.commit_lsn.value, id.ordinal << 8 | id.part << 4 | stream);
  const auto index = static_cast<std::size_t>(found - log.expected.begin());
  if (log.has_new_writer ? index > log.next : index != log.next) {
    violation("order: " + describe(id) + " is stored where " +
              (log.next < log.expected.size() ? describe(log.expected[log.next].id) : "nothing") + " has its place");
  }
  log.has_new_writer = false;
  log.next = index + 1;
  ++records_stored_;
  last_stored_ = std::max(last_stored_.value_or(Lsn{}), id.commit_lsn);
  if (id.commit_lsn < start_) {
    violation("duplicate: " + describe(id) + " was confirmed");
  }
  TransactionState& transaction = transactions_[found->transaction];
  transaction.has_unmarked = transaction.has_unmarked || !is_split;
  if (mode_ == Mode::kExactlyOnce) {
    touched_.insert(found->transaction);
  }
  if (found->is_stored) {
    if (mode_ == Mode::kExactlyOnce) {
      violation("duplicate: " + describe(id) + " is visible twice");
    }
    ++repeats_;
    return;
  }
  found->is_stored = true;
  --transaction.not_stored;
  while (first_incomplete_ < transactions_.size() && transactions_[first_incomplete_].not_stored == 0) {
    ++first_incomplete_;
  }
}

void Checker::transaction_committed() {
  for (const std::size_t index : std::exchange(touched_, {})) {
    TransactionState& transaction = transactions_[index];
    ++transaction.commits;
    if ((transaction.not_stored > 0 || transaction.commits > 1) && transaction.has_unmarked) {
      violation("torn: the transaction at " + to_string(transaction.commit_lsn) + " is visible in part and does not say so");
    }
  }
}

void Checker::recorded(Lsn position) {
  trace_.note("recorded", position.value);
  recorded_ = position;
}

void Checker::begins_at(Lsn position) {
  trace_.note("begins at", position.value);
  for (Log& log : logs_) {
    for (Expected& expected : log.expected) {
      const bool is_before = expected.id.commit_lsn < position;
      if (expected.is_stored != is_before) {  // of one that was split the ordinals hold no more: its first part comes again
        expected.is_stored = is_before;
        TransactionState& transaction = transactions_[expected.transaction];
        transaction.not_stored = is_before ? transaction.not_stored - 1 : transaction.not_stored + 1;
        transaction.commits = 0;
      }
    }
    while (log.next < log.expected.size() && log.expected[log.next].id.commit_lsn < position) {
      ++log.next;
    }
  }
  first_incomplete_ = 0;
  while (first_incomplete_ < transactions_.size() && transactions_[first_incomplete_].not_stored == 0) {
    ++first_incomplete_;
  }
}

void Checker::session_began(Lsn start, Duration status_interval, TimePoint now) {
  trace_.note("session begins", start.value);
  if (first_incomplete_ < transactions_.size() && transactions_[first_incomplete_].commit_lsn < start) {
    violation("start: " + to_string(start) + " passes the transaction at " +
              to_string(transactions_[first_incomplete_].commit_lsn) + ", which is not stored");
  }
  if (mode_ != Mode::kNoState && start > recorded_) {
    violation("start: " + to_string(start) + " is ahead of what is recorded, " + to_string(recorded_));
  }
  watching_ = true;
  start_ = start;
  interval_ = status_interval;
  units_.clear();
  undelivered_.clear();
  owed_.clear();
  received_ = prefix_ = flush_ = start;
  told_ = recorded_;
  last_status_ = last_move_ = now;
  unmoved_statuses_ = 0;
  asked_at_.reset();
  last_stored_.reset();
  for (Log& log : logs_) {
    log.has_new_writer = true;
  }
}

void Checker::session_ended(bool stopped_in_time) {
  watching_ = false;
  if (stopped_in_time && last_stored_ && *last_stored_ >= flush_) {
    violation("duplicate: the stop leaves " + to_string(*last_stored_) + " stored and unconfirmed, flush is " +
              to_string(flush_));
  }
}

void Checker::received_begin(Lsn commit_lsn) {
  if (!watching_) {
    return;
  }
  trace_.note("begin", commit_lsn.value);
  const auto transaction = std::ranges::lower_bound(transactions_, commit_lsn, {}, &TransactionState::commit_lsn);
  // Exactly once, what is there already is passed over.
  undelivered_[commit_lsn.value] = mode_ == Mode::kExactlyOnce ? transaction->not_stored : transaction->records;
  units_.push_back({.position = {}, .commit_lsn = commit_lsn});
}

void Checker::received_commit(const CommittedTransaction& transaction, TimePoint now) {
  if (!watching_) {
    return;
  }
  trace_.note("commit", transaction.commit_lsn.value, transaction.end_lsn.value);
  units_.back().is_closed = true;
  units_.back().position = received_ = transaction.end_lsn;
  advance_prefix(now);
}

// A keepalive inside an open transaction belongs before it.
void Checker::received_keepalive(Lsn wal_end, bool reply_requested, TimePoint now) {
  if (!watching_) {
    return;
  }
  trace_.note("keepalive", wal_end.value, reply_requested ? 1 : 0);
  if (reply_requested && !asked_at_) {
    asked_at_ = now;
  }
  if (wal_end <= received_) {
    return;
  }
  received_ = wal_end;
  const bool open = !units_.empty() && !units_.back().is_closed;
  units_.insert(units_.end() - (open ? 1 : 0), Unit{.position = wal_end, .commit_lsn = {}, .is_closed = true});
  advance_prefix(now);
}

void Checker::delivered(Lsn commit_lsn, TimePoint now) {
  --undelivered_[commit_lsn.value];
  advance_prefix(now);
}

void Checker::progress_delivered(TimePoint now) {
  told_ = recorded_;
  owe(now);
}

// What may be confirmed now: delivered, and recorded.
void Checker::owe(TimePoint now) {
  const Lsn position = mode_ == Mode::kNoState ? prefix_ : std::min(prefix_, told_);
  if (position > (owed_.empty() ? flush_ : owed_.back().position)) {
    owed_.push_back({.position = position, .since = now});
  }
}

bool Checker::is_complete(const Unit& unit) const {
  return unit.is_closed && (unit.commit_lsn == Lsn{} || undelivered_.at(unit.commit_lsn.value) == 0);
}

void Checker::advance_prefix(TimePoint now) {
  while (!units_.empty() && is_complete(units_.front())) {
    prefix_ = units_.front().position;
    units_.pop_front();
  }
  owe(now);
}

void Checker::sent_status(const StandbyStatus& status, TimePoint now) {
  const Lsn flush = status.flush;
  trace_.note("status", flush.value, status.request_reply ? 1 : 0);
  if (status.write != flush || status.apply != flush) {
    violation("safety: write, flush and apply differ");
  }
  if (flush < flush_ || flush > received_) {
    violation("safety: flush " + to_string(flush) + " after " + to_string(flush_) + ", received " + to_string(received_));
  }
  if (flush > prefix_) {
    violation("safety: flush " + to_string(flush) + " passes the delivered prefix " + to_string(prefix_));
  }
  if (first_incomplete_ < transactions_.size() && transactions_[first_incomplete_].commit_lsn < flush) {
    violation("safety: flush " + to_string(flush) + " passes the transaction at " +
              to_string(transactions_[first_incomplete_].commit_lsn) + ", which is not stored");
  }
  if (mode_ != Mode::kNoState && flush > recorded_) {
    violation("record: flush " + to_string(flush) + " passes what is recorded, " + to_string(recorded_));
  }
  check_cadence(now);
  if (flush != flush_) {
    last_move_ = now;
    unmoved_statuses_ = 0;
  } else if (static_cast<std::uint64_t>((now - last_move_) / kAnswer) + 4 < ++unmoved_statuses_) {
    violation("cadence: " + std::to_string(unmoved_statuses_) + " statuses without a move");
  }
  flush_ = flush;
  last_status_ = now;
  asked_at_.reset();
  while (!owed_.empty() && owed_.front().position <= flush) {
    owed_.pop_front();
  }
}

void Checker::was_frozen(TimePoint until) {
  last_status_ = std::max(last_status_, until);
  for (Owed& owed : owed_) {
    owed.since = std::max(owed.since, until);
  }
  if (asked_at_) {
    asked_at_ = std::max(*asked_at_, until);
  }
}

void Checker::check_cadence(TimePoint now) const {
  if (!watching_) {
    return;
  }
  if (now - last_status_ > interval_ + kSlack) {
    violation("cadence: no status for longer than the interval");
  }
  if (!owed_.empty() && now - owed_.front().since > kAfterMove + kSlack) {
    violation("cadence: " + to_string(owed_.front().position) + " could be confirmed a second ago");
  }
  if (asked_at_ && now - *asked_at_ > kAnswer + kSlack) {
    violation("cadence: no answer to a request for a reply");
  }
}

void Checker::check_everything_stored() const {
  if (!everything_stored()) {
    violation("loss or standstill: the transaction at " + to_string(transactions_[first_incomplete_].commit_lsn) +
              " is not stored");
  }
}

}  // namespace outboxx::simulation
