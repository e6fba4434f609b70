#include "ack_tracker.h"

#include <utility>

#include "base/check.h"

namespace outboxx {

UnitId AckTracker::begin(Lsn final_lsn, WallTime commit_time, TimePoint now) {
  CHECK(!open_);
  Unit unit;
  unit.final_lsn = final_lsn;
  unit.commit_time = commit_time;
  unit.since = now;
  append(unit);
  open_ = true;
  return open_unit();
}

void AckTracker::commit(Lsn end_lsn) {
  CHECK(open_);
  CHECK(end_lsn > received_);
  open_ = false;
  received_ = end_lsn;
  Unit& unit = newest();
  unit.position = end_lsn;
  unit.closed = true;
  if (unit.has_records) {
    data_received_ = end_lsn;
  }
  if (!unit.has_records) {
    pop_newest();
    raise_position(end_lsn);
  }
}

void AckTracker::keepalive(Lsn wal_end) {
  if (wal_end <= received_ || (open_ && wal_end > newest().final_lsn)) {
    return;
  }
  received_ = wal_end;
  raise_position(wal_end);
}

void AckTracker::delivered(UnitId unit, std::uint64_t count) {
  CHECK(unit >= first_id_ && unit - first_id_ < size_);
  Unit& target = at(unit - first_id_);
  CHECK(target.outstanding >= count);
  target.outstanding -= count;
}

std::optional<AckTracker::CompletedUnit> AckTracker::next_completed() {
  if (size_ == 0) {
    return std::nullopt;
  }
  const Unit& oldest = at(0);
  if (!oldest.closed || oldest.outstanding > 0) {
    return std::nullopt;
  }
  const CompletedUnit completed{oldest.commit_time};
  set_flushed(oldest.position);
  head_ = (head_ + 1) & (ring_.size() - 1);
  ++first_id_;
  --size_;
  return completed;
}

bool AckTracker::all_delivered() const {
  return size_ == 0 || (size_ == 1 && open_ && at(0).outstanding == 0);
}

std::optional<TimePoint> AckTracker::oldest_since() const {
  return size_ == 0 ? std::nullopt : std::optional(at(0).since);
}

AckTracker::Unit& AckTracker::newest() {
  CHECK(size_ > 0);
  return at(size_ - 1);
}

void AckTracker::append(const Unit& unit) {
  if (size_ == ring_.size()) {
    std::vector<Unit> larger(ring_.size() * 2);
    for (std::size_t index = 0; index < size_; ++index) {
      larger[index] = at(index);
    }
    ring_ = std::move(larger);
    head_ = 0;
  }
  ++size_;
  newest() = unit;
}

// Everything up to position is confirmed when the newest closed unit is complete, or now if there is none.
void AckTracker::raise_position(Lsn position) {
  const std::size_t closed_units = size_ - (open_ ? 1 : 0);
  if (closed_units == 0) {
    set_flushed(position);
    return;
  }
  Unit& unit = at(closed_units - 1);
  CHECK(unit.closed && unit.position < position);
  unit.position = position;
}

void AckTracker::set_flushed(Lsn position) {
  CHECK(position >= flushed_ && position <= received_);
  flushed_ = position;
}

}  // namespace outboxx
