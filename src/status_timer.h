// StatusTimer: when the next standby status update is due. Pure: time is an argument.
//
// Rules (docs/delivery.md): at most 1 s after the flush position moved; at once on a reply request, but with an unmoved
// position at most every 100 ms, or a stopping server and a sink that is down spin against each other; at once when the
// position reaches one for which a reply was requested; and at least every interval, whatever the sink does.
#pragma once

#include <chrono>
#include <optional>

#include "base/lsn.h"
#include "base/time.h"

namespace outboxx {

class StatusTimer {
 public:
  static constexpr std::chrono::milliseconds kAfterMove{1000};
  static constexpr std::chrono::milliseconds kRepeatedReply{100};

  // wal_sender_timeout: of the server, 0 = none. The interval is a quarter of it, or max_interval if that is less.
  // after_move: how long a moved position may wait.
  StatusTimer(std::chrono::milliseconds max_interval, std::chrono::milliseconds wal_sender_timeout, Lsn flushed, TimePoint now,
              std::chrono::milliseconds after_move = kAfterMove);

  // A keepalive with a reply request.
  void reply_requested(Lsn wal_end);
  // The flush position as it stands now; call whenever it may have moved.
  void flushed(Lsn position, TimePoint now);
  // A status update with the position of the last flushed() was sent.
  void sent(TimePoint now);

  [[nodiscard]] bool due(TimePoint now) const { return now >= next(); }
  // When the next status update is due if nothing happens before.
  [[nodiscard]] TimePoint next() const;
  [[nodiscard]] std::chrono::milliseconds interval() const { return interval_; }
  [[nodiscard]] TimePoint last_sent() const { return last_sent_; }

 private:
  std::chrono::milliseconds interval_;
  std::chrono::milliseconds after_move_;
  TimePoint last_sent_;
  Lsn sent_position_;
  Lsn position_;
  std::optional<TimePoint> moved_at_;  // when position_ first differed from sent_position_
  bool reply_wanted_ = false;
  Lsn awaited_;  // a reply was requested for this position before it was flushed; 0/0: none
};

}  // namespace outboxx
