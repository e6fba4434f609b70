// ShutdownWatch: does PostgreSQL shut down and wait for us, while the sink holds up what it waits for? Pure.
//
// A fast shutdown ends ordinary sessions at once, but a walsender stays until everything it sent is confirmed (PostgreSQL:
// WalSndDone in walsender.c). Two signs tell it from normal work:
// - The walsender asks for a reply again and again. A running server needs such a request at most once per
//   wal_sender_timeout / 2, and gets an answer, so requests without a pause between them mean a shutdown. They are seen only
//   while we read.
// - The server ended our other session, the slot monitor's, by administrator command, and takes no new one.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/time.h"

namespace outboxx {

class ShutdownWatch {
 public:
  static constexpr std::chrono::milliseconds kPause{1000};  // a longer one between two requests: no shutdown

  explicit ShutdownWatch(std::chrono::milliseconds grace) : grace_(grace) {}

  void reply_requested(TimePoint now) {
    if (!requests_since_ || now - latest_request_ > kPause) {
      requests_since_ = now;
    }
    latest_request_ = now;
  }
  void session_ended(TimePoint now) {
    if (!session_ended_at_) {
      session_ended_at_ = now;
    }
  }
  void session_is_back() { session_ended_at_.reset(); }
  void delivered(TimePoint now) { latest_delivery_ = now; }

  // The server has waited for the whole grace. If something is still undelivered, close the connection, unconfirmed, so that
  // the server can stop.
  [[nodiscard]] bool expired(TimePoint now) const {
    const bool asked_all_along = requests_since_ && now - latest_request_ <= kPause && now - *requests_since_ >= grace_;
    return asked_all_along || now >= next();
  }

  // When it expires although nothing happens.
  [[nodiscard]] TimePoint next() const {
    return session_ended_at_ ? std::max(*session_ended_at_, latest_delivery_) + grace_ : TimePoint::max();
  }

 private:
  std::chrono::milliseconds grace_;
  std::optional<TimePoint> requests_since_;  // first request of the series
  TimePoint latest_request_;
  std::optional<TimePoint> session_ended_at_;
  TimePoint latest_delivery_;
};

}  // namespace outboxx
