// ProgressGate: when the position is recorded, and what may be confirmed because of it. Pure: time is an argument.
//
// Confirmed is min(F, P): F as AckTracker has it, P the last position that is recorded durably (docs/delivery.md). So the slot
// never passes the record, and one that did was moved by somebody else.
//
// At least once, a record is a message of its own, at most one per interval. Exactly once, it closes a Kafka transaction, so
// that changes and position become visible together: whole PostgreSQL transactions are gathered until there are enough bytes
// or records, or the first one waited long enough. One that is too large for a Kafka transaction, or takes longer than the
// brokers keep one open, is split or refused. While only keepalives come, a record is written every 5 s, or when the WAL
// moved by 16 MiB, or at once if the server waits for it to stop.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/state_record.h"
#include "progress_options.h"

namespace outboxx {

// Where the session stands.
struct ProgressFacts {
  Lsn flushed;                     // F
  Lsn received;                    // end of what was received completely
  Lsn data_received;               // end of the newest transaction that has records
  std::optional<Lsn> open_commit;  // of the transaction that is being received
  std::uint64_t ordinal = 0;       // its changes so far
  std::uint64_t open_bytes = 0;    // and the bytes of their records
  bool is_alone = false;           // that one, or the last, goes into Kafka transactions of its own
  bool between_changes = true;     // no change waits for the sink with a part of its records
  std::uint64_t records = 0;       // accepted by the sink in this session, and their bytes
  std::uint64_t bytes = 0;
  bool is_urgent = false;          // a stop, or the server waits for a confirmation
  bool has_snapshot_news = false;  // something of a snapshot has arrived that no record tells
  bool is_mid_chunk = false;       // exactly once: a chunk of a snapshot has a part of its rows in this Kafka transaction
};

class ProgressGate {
 public:
  static constexpr std::chrono::milliseconds kIdleInterval{5'000};
  static constexpr std::uint64_t kIdleBytes = std::uint64_t{16} * 1024 * 1024;
  static constexpr std::chrono::milliseconds kUrgentInterval{100};
  // What of a snapshot arrived and is not recorded is read again after a crash.
  static constexpr std::chrono::milliseconds kSnapshotInterval{50};

  // Without a start, nothing is recorded and everything may be confirmed.
  ProgressGate(const ProgressOptions& options, const std::optional<Progress>& start, TimePoint now);

  [[nodiscard]] Lsn confirmable(Lsn flushed) const {
    return is_kept_ && acknowledged_.position < flushed ? acknowledged_.position : flushed;
  }

  // P; nothing if no state is kept.
  [[nodiscard]] std::optional<Lsn> recorded() const { return is_kept_ ? std::optional(acknowledged_.position) : std::nullopt; }

  // What to record now, if anything. kConfig: a transaction is too large, or takes too long, and may not be split.
  [[nodiscard]] Result<std::optional<Progress>> due(const ProgressFacts& facts, TimePoint now);
  // It was handed to the sink. Only one is under way at a time.
  void written(const Progress& progress, const ProgressFacts& facts, TimePoint now);
  void acknowledged();

  [[nodiscard]] bool is_under_way() const { return is_under_way_; }
  // When due() may answer differently although nothing happened.
  [[nodiscard]] TimePoint next() const { return next_; }
  // Records were accepted that no record of progress covers yet.
  [[nodiscard]] bool is_gathering(std::uint64_t records) const { return records != written_records_; }
  // Enough is gathered, or has waited long enough: stop reading at the end of the transaction at hand.
  [[nodiscard]] bool is_full(std::uint64_t records, std::uint64_t bytes, TimePoint now) const;

 private:
  [[nodiscard]] std::optional<Progress> due_at_least_once(const ProgressFacts& facts, TimePoint now);
  [[nodiscard]] Result<std::optional<Progress>> due_exactly_once(const ProgressFacts& facts, TimePoint now);
  [[nodiscard]] Result<std::optional<Progress>> due_amid(const ProgressFacts& facts, bool is_late);
  [[nodiscard]] std::optional<Progress> due_idle(Lsn position, bool is_urgent, TimePoint now);

  ProgressOptions options_;
  bool is_kept_;
  bool is_under_way_ = false;
  Progress acknowledged_;
  Progress written_;
  TimePoint written_at_;
  std::uint64_t written_records_ = 0;
  std::uint64_t written_bytes_ = 0;
  std::optional<TimePoint> gathering_since_;
  std::optional<TimePoint> open_since_;  // the Kafka transaction: it begins with its first record
  TimePoint next_ = TimePoint::max();
};

}  // namespace outboxx
