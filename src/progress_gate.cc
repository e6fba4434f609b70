#include "progress_gate.h"

#include <algorithm>
#include <optional>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/state_record.h"

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
  const bool is_gathering = this->is_gathering(facts.records) || facts.has_snapshot_news;
  if (is_gathering && !gathering_since_) {
    gathering_since_ = now;
  }
  const bool ends_before_it = is_gathering && facts.is_alone && facts.ordinal == 0;
  if (facts.open_commit && !ends_before_it) {
    // The rest of it comes without a pause: no time to wait for. A part of it must not be recorded as the whole.
    const std::uint64_t part = std::min(facts.open_bytes, facts.bytes - written_bytes_);  // whole ones before it do not count
    const bool is_too_large = is_gathering && part >= options_.split_bytes;
    if (!is_too_large || !facts.between_changes) {
      return std::nullopt;
    }
    if (!options_.may_split) {
      return fail(ErrorCode::kConfig,
                  "the transaction that commits at " + to_string(*facts.open_commit) +
                      " is larger than one Kafka transaction may "
                      "be, " +
                      std::to_string(options_.split_bytes) + " bytes",
                  "Raise sink.kafka.transaction.bytes_max, or set sink.kafka.transaction.split_large_transactions = true: then "
                  "consumers can see such a transaction in parts.");
    }
    // After a restart amid it, what was received may be behind the position that is recorded already.
    return Progress{
        .position = std::max(facts.received, written_.position), .open_commit = *facts.open_commit, .ordinal = facts.ordinal};
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
