#include "status_timer.h"

#include <algorithm>

namespace outboxx {

StatusTimer::StatusTimer(std::chrono::milliseconds max_interval, std::chrono::milliseconds wal_sender_timeout, Lsn flushed,
                         TimePoint now, std::chrono::milliseconds after_move)
    : interval_(max_interval), after_move_(after_move), last_sent_(now), sent_position_(flushed), position_(flushed) {
  if (wal_sender_timeout.count() > 0) {
    interval_ = std::min(interval_, wal_sender_timeout / 4);
  }
}

void StatusTimer::reply_requested(Lsn wal_end) {
  reply_wanted_ = true;
  if (wal_end > position_) {
    awaited_ = std::max(awaited_, wal_end);
  }
}

void StatusTimer::flushed(Lsn position, TimePoint now) {
  position_ = position;
  if (position_ != sent_position_ && !moved_at_) {
    moved_at_ = now;
  }
}

void StatusTimer::sent(TimePoint now) {
  last_sent_ = now;
  sent_position_ = position_;
  moved_at_.reset();
  reply_wanted_ = false;
  if (awaited_ <= position_) {
    awaited_ = {};
  }
}

TimePoint StatusTimer::next() const {
  TimePoint next = last_sent_ + interval_;
  if (moved_at_) {
    next = std::min(next, *moved_at_ + after_move_);
  }
  if (reply_wanted_) {
    next = std::min(next, position_ != sent_position_ ? last_sent_ : last_sent_ + kRepeatedReply);
  }
  if (awaited_ > Lsn{} && position_ >= awaited_) {
    next = last_sent_;
  }
  return next;
}

}  // namespace outboxx
