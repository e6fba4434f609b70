// AckTracker: deliveries -> the position that may be confirmed to PostgreSQL. Pure: no I/O, no clock.
//
// What may be confirmed (docs/delivery.md): F, the end of the longest prefix of units whose every record has been delivered.
// A unit is a transaction, in the order received; its position is E(T), the end of its commit record. A keepalive K carries
// no records and promises that every transaction that commits before K was sent before it, so K may be confirmed as soon as
// all units before it are complete: it raises the position of the newest closed unit, or F itself if nothing is pending. The
// same holds for a transaction without records. So an idle or filtered database needs no memory here. Units that are complete
// behind one that is not (a partition without a leader) stay until it is; when kUnitsMax are kept, full() stops the reading.
//
// Keepalives inside an open transaction T have K <= C(T), the start of its commit record: they belong before T.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/lsn.h"
#include "base/time.h"
#include "model/unit_id.h"

namespace outboxx {

// One thread. A session of the replication protocol has its own tracker: positions never go back within one.
class AckTracker {
 public:
  static constexpr std::size_t kUnitsMax = 131'072;  // 8 MiB

  // start: the slot's confirmed_flush_lsn. Nothing below it will come.
  explicit AckTracker(Lsn start) : flushed_(start), received_(start) {}

  // Begin: opens the unit that add_record() counts for.
  UnitId begin(Lsn final_lsn, WallTime commit_time, TimePoint now);

  // A record of the open unit was accepted by the sink.
  void add_record() {
    Unit& unit = newest();
    ++unit.outstanding;
    unit.has_records = true;
  }

  // Commit: closes the open unit; its position is the end of the commit record.
  void commit(Lsn end_lsn);

  // One at or below the newest position is ignored: early ones can step back, for the server's sent position starts at
  // confirmed_flush while it reads from restart_lsn. So is one that contradicts the open transaction.
  void keepalive(Lsn wal_end);

  // count records of unit have arrived. Then take the units that this completed with next_completed().
  void delivered(UnitId unit, std::uint64_t count);

  struct CompletedUnit {
    WallTime commit_time;
  };
  // Advances flushed() by one unit; nothing if the oldest unit is not complete.
  std::optional<CompletedUnit> next_completed();

  // F: what may be confirmed. Never goes back, never passes received().
  [[nodiscard]] Lsn flushed() const { return flushed_; }
  // The newest position: of a commit or a keepalive.
  [[nodiscard]] Lsn received() const { return received_; }

  // The end of the newest transaction that has records; 0/0: none came yet.
  [[nodiscard]] Lsn data_received() const { return data_received_; }

  [[nodiscard]] bool in_transaction() const { return open_; }
  [[nodiscard]] UnitId open_unit() const { return first_id_ + size_ - 1; }
  [[nodiscard]] std::size_t units() const { return size_; }
  // No unit may be opened: wait for deliveries.
  [[nodiscard]] bool full() const { return size_ >= kUnitsMax; }
  // Nothing received awaits delivery; records of an open transaction count.
  [[nodiscard]] bool all_delivered() const;
  // When the oldest unit that is not complete began.
  [[nodiscard]] std::optional<TimePoint> oldest_since() const;

 private:
  struct Unit {
    Lsn position;  // valid when closed
    Lsn final_lsn;
    std::uint64_t outstanding = 0;  // records accepted by the sink and not delivered
    bool has_records = false;
    bool closed = false;
    WallTime commit_time;
    TimePoint since;
  };

  Unit& at(std::size_t index) { return ring_[(head_ + index) & (ring_.size() - 1)]; }
  [[nodiscard]] const Unit& at(std::size_t index) const { return ring_[(head_ + index) & (ring_.size() - 1)]; }
  Unit& newest();
  void append(const Unit& unit);
  void pop_newest() { --size_; }
  void raise_position(Lsn position);
  void set_flushed(Lsn position);

  std::vector<Unit> ring_ = std::vector<Unit>(64);  // a power of two; a deque would allocate every dozen transactions
  std::size_t head_ = 0;
  std::size_t size_ = 0;
  UnitId first_id_ = 1;  // of the unit at head_
  bool open_ = false;    // the newest unit is an open transaction
  Lsn flushed_;
  Lsn received_;
  Lsn data_received_;
};

}  // namespace outboxx
