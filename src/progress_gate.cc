#include "progress_gate.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/state_record.h"
#include "sink/kafka_options.h"

namespace outboxx {
namespace {

// A record of a snapshot's news may find the position where it was. After a restart amid a transaction that is split, its part
// stays recorded until the rest has come: keepalives before its Begin tell positions up to that of its commit record.
Progress not_before(const Progress& written, Lsn position) {
  if (position <= written.position) {
    return written;
  }
  const bool is_amid = written.ordinal > 0 && position <= written.open_commit;
  return {.position = position, .open_commit = is_amid ? written.open_commit : Lsn{}, .ordinal = is_amid ? written.ordinal : 0};
}

// A part is closed while there is time to commit it. One that may not be split may still end in time, and a slow broker or a
// long pause of one is no reason to refuse it.
std::chrono::milliseconds open_time_max(const ProgressOptions& options) {
  return options.may_split ? kTransactionTimeout / 2 : kTransactionTimeout;
}

std::unexpected<Error> too_large(const std::string& transaction, std::uint64_t bytes) {
  return fail(ErrorCode::kConfig,
              transaction + " is larger than one Kafka transaction may be, " + std::to_string(bytes) + " bytes",
              "Raise sink.kafka.transaction.bytes_max, or set sink.kafka.transaction.split_large_transactions = true: then "
              "consumers can see such a transaction in parts.");
}

std::unexpected<Error> too_slow(const std::string& transaction) {
  return fail(
      ErrorCode::kConfig,
      transaction + " takes longer than one Kafka transaction may, " + std::to_string(kTransactionTimeout.count()) + " ms",
      "Set sink.kafka.transaction.split_large_transactions = true: then consumers can see such a transaction in parts.");
}

}  // namespace

ProgressGate::ProgressGate(const ProgressOptions& options, const std::optional<Progress>& start, TimePoint now)
    : options_(options),
      is_kept_(start.has_value()),
      acknowledged_(start.value_or(Progress{})),
      written_(acknowledged_),
      written_at_(now - options.interval) {}

Result<std::optional<Progress>> ProgressGate::due(const ProgressFacts& facts, TimePoint now) {
  next_ = TimePoint::max();
  if (!is_kept_ || is_under_way_) {
    return std::nullopt;
  }
  if (options_.is_transactional) {
    return due_exactly_once(facts, now);
  }
  return due_at_least_once(facts, now);
}

void ProgressGate::written(const Progress& progress, const ProgressFacts& facts, TimePoint now) {
  CHECK(!is_under_way_ && progress >= written_);
  is_under_way_ = true;
  written_ = progress;
  written_at_ = now;
  written_records_ = facts.records;
  written_bytes_ = facts.bytes;
  gathering_since_.reset();
  open_since_.reset();
  next_ = TimePoint::max();
}

void ProgressGate::acknowledged() {
  CHECK(is_under_way_);
  is_under_way_ = false;
  acknowledged_ = written_;
}

bool ProgressGate::is_full(std::uint64_t records, std::uint64_t bytes, TimePoint now) const {
  if (!is_kept_ || !options_.is_transactional || records == written_records_) {
    return false;
  }
  return records - written_records_ >= options_.batch_records || bytes - written_bytes_ >= options_.batch_bytes ||
         (gathering_since_ && now - *gathering_since_ >= options_.batch_age);
}

std::optional<Progress> ProgressGate::due_at_least_once(const ProgressFacts& facts, TimePoint now) {
  if (facts.flushed <= written_.position && !facts.has_snapshot_news) {
    return std::nullopt;
  }
  if (facts.has_snapshot_news) {
    next_ = written_at_ + kSnapshotInterval;
    return now >= next_ ? std::optional(not_before(written_, facts.flushed)) : std::nullopt;
  }
  const bool has_data = facts.data_received > written_.position;
  if (!has_data || facts.is_urgent) {
    return due_idle(facts.flushed, facts.is_urgent, now);
  }
  next_ = written_at_ + options_.interval;
  return now >= next_ ? std::optional(Progress{.position = facts.flushed, .open_commit = {}, .ordinal = 0}) : std::nullopt;
}

// The position is what was received, not F: the records before it are in this Kafka transaction, or in one that is committed.
Result<std::optional<Progress>> ProgressGate::due_exactly_once(const ProgressFacts& facts, TimePoint now) {
  const bool has_records = this->is_gathering(facts.records);
  const bool is_gathering = has_records || facts.has_snapshot_news;
  if (is_gathering && !gathering_since_) {
    gathering_since_ = now;
  }
  if (has_records && !open_since_) {
    open_since_ = now;
  }
  const bool ends_before_it = is_gathering && facts.is_alone && facts.ordinal == 0;
  if (facts.open_commit && !ends_before_it) {
    const TimePoint late_at = open_since_ ? *open_since_ + open_time_max(options_) : TimePoint::max();
    const bool is_late = now >= late_at;
    next_ = is_late ? TimePoint::max() : late_at;  // from then on it waits for the sink at most
    return due_amid(facts, is_late);
  }
  if (!is_gathering) {
    return due_idle(facts.received, facts.is_urgent, now);
  }
  if (facts.is_mid_chunk) {
    return std::nullopt;  // its rows come without a pause
  }
  const TimePoint closes_at = *gathering_since_ + options_.batch_age;
  if (facts.is_urgent || facts.is_alone || now >= closes_at || is_full(facts.records, facts.bytes, now)) {
    return not_before(written_, facts.received);
  }
  next_ = closes_at;
  return std::nullopt;
}

// The rest of it comes without a pause: no time to wait for. A part of it must not be recorded as the whole.
Result<std::optional<Progress>> ProgressGate::due_amid(const ProgressFacts& facts, bool is_late) {
  const std::uint64_t part = std::min(facts.open_bytes, facts.bytes - written_bytes_);  // whole ones before it do not count
  const bool is_too_large = is_gathering(facts.records) && part >= options_.split_bytes;
  if ((!is_too_large && !is_late) || !facts.between_changes) {
    return std::nullopt;
  }
  if (part == 0) {
    return not_before(written_, facts.received);  // all that is gathered came before it
  }
  if (!options_.may_split) {
    const std::string what = "the transaction that commits at " + to_string(*facts.open_commit);
    return is_too_large ? too_large(what, options_.split_bytes) : too_slow(what);
  }
  // After a restart amid it, what was received may be behind the position that is recorded already.
  return Progress{
      .position = std::max(facts.received, written_.position), .open_commit = *facts.open_commit, .ordinal = facts.ordinal};
}

std::optional<Progress> ProgressGate::due_idle(Lsn position, bool is_urgent, TimePoint now) {
  if (position <= written_.position) {
    return std::nullopt;
  }
  next_ = written_at_ + (is_urgent ? kUrgentInterval : kIdleInterval);
  if (now < next_ && position.value - written_.position.value < kIdleBytes) {
    return std::nullopt;
  }
  return not_before(written_, position);
}

}  // namespace outboxx
