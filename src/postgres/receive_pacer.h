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
  // A burst: the mark follows the rate from one millisecond to the next. One that stays raised has the server send smaller
  // segments (TCP BBR: half as much CPU again for the walsender).
  static constexpr std::int64_t kBurstMessagesPerMillisecond = 20;
  // A steady stream: raised when its messages wake us as often as the first in kSteadyWindow, until they come with fewer reads
  // than the second, of the ten that kBound makes of it.
  static constexpr std::int64_t kWakeUpsToRaise = 4;
  static constexpr std::int64_t kWakeUpsToStay = 2;

  void count_message() { ++messages_; }

  // Once per wake-up: whether the mark should be raised from now on. Rates are taken over time, never per wake-up: a fast
  // reader finds two or three messages at each, for ever.
  [[nodiscard]] bool raised(TimePoint now);

 private:
  static constexpr std::chrono::milliseconds kBurstWindow{1};
  static constexpr std::chrono::milliseconds kSteadyWindow{20};

  void end_steady_window(TimePoint now);

  std::int64_t messages_ = 0;  // since the last wake-up
  TimePoint burst_window_start_;
  std::int64_t burst_messages_ = 0;
  TimePoint steady_window_start_;
  std::int64_t steady_messages_ = 0;
  std::int64_t steady_wake_ups_ = 0;  // that brought messages
  bool is_burst_ = false;             // in the last millisecond
  bool was_burst_ = false;            // the last steady window, on the whole
  bool is_steady_ = false;
};

}  // namespace outboxx
