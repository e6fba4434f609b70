// ReceivePacer: when to let the kernel gather bytes before it wakes us. A walsender sends one segment per change; waking up for
// each costs four to six times the CPU of waking up for 64 KiB, but on a quiet stream gathering would only add latency.
// Pure: time is an argument.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace outboxx {

class ReceivePacer {
 public:
  // SO_RCVLOWAT while raised. More is never reached before kBound, less wakes up more often.
  static constexpr int kRaisedMarkBytes = 64 * 1024;
  // While raised, the socket is read at least this often: bytes below the mark are not announced.
  static constexpr std::chrono::milliseconds kBound{2};
  static constexpr std::int64_t kMessagesPerMillisecond = 20;

  void count_message() { ++messages_; }

  // Whether the mark should be raised from now on. The rate is taken over at least a millisecond, never per wake-up: a fast
  // reader finds two or three messages at each, for ever.
  [[nodiscard]] bool raised(TimePoint now);

 private:
  static constexpr std::chrono::milliseconds kWindow{1};

  TimePoint window_start_;
  std::int64_t messages_ = 0;
  bool raised_ = false;
};

}  // namespace outboxx
