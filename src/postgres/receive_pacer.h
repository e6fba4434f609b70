// ReceivePacer: when to let the kernel gather bytes before it wakes us. A walsender sends one segment per change; waking up for
// each costs four to six times the CPU of waking up for 64 KiB, but on a quiet stream gathering would only add latency.
// Pure: time is an argument.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace outboxx {

enum class ReceivePace : std::uint8_t {
  kEach,    // wake up for every message
  kBurst,   // gather: more comes than can be read
  kSteady,  // gather, and longer while Kafka does not answer
};

class ReceivePacer {
 public:
  // SO_RCVLOWAT while gathering. More is never reached before kBound, less wakes up more often.
  static constexpr int kRaisedMarkBytes = 64 * 1024;
  // While gathering, the socket is read at least this often: bytes below the mark are not announced.
  static constexpr std::chrono::milliseconds kBound{2};
  // The same of a steady stream, while what was read before is on its way to Kafka.
  static constexpr std::chrono::milliseconds kDeliveryBound{200};
  // A burst: the mark follows the rate from one millisecond to the next. One that stays raised has the server send smaller
  // segments (TCP BBR: half as much CPU again for the walsender).
  static constexpr std::int64_t kBurstMessagesPerMillisecond = 20;
  // A steady stream: gathered when its messages wake us so often in kSteadyWindow, while at least so many messages come in it.
  // A backlog is none: it is a burst all the time, and fills a quarter of the mark within kBound.
  static constexpr std::int64_t kWakeUpsToGather = 4;
  static constexpr std::int64_t kMessagesToStay = 4;
  static constexpr std::int64_t kBacklogBytes = kRaisedMarkBytes / 4;

  // The socket was read, whether that brought a message or not.
  void count_read() { was_read_ = true; }
  void count_message(std::size_t bytes) {
    ++messages_;
    bytes_ += static_cast<std::int64_t>(bytes);
  }

  // Once per wake-up: how to wait from now on. Rates are taken over time, never per wake-up: a fast reader finds two or three
  // messages at each, for ever.
  [[nodiscard]] ReceivePace pace(TimePoint now);

 private:
  static constexpr std::chrono::milliseconds kBurstWindow{1};
  static constexpr std::chrono::milliseconds kSteadyWindow{20};  // at least: it ends with a read

  void end_steady_window(TimePoint now);

  bool was_read_ = false;      // since the last wake-up
  std::int64_t messages_ = 0;  // likewise
  std::int64_t bytes_ = 0;     // since the beginning of the steady window
  TimePoint burst_window_start_;
  std::int64_t burst_messages_ = 0;
  TimePoint steady_window_start_;
  std::int64_t steady_messages_ = 0;
  std::int64_t steady_wake_ups_ = 0;  // that brought messages
  bool is_burst_ = false;             // in the last millisecond
  bool is_steady_ = false;            // in the last steady window
  bool is_backlog_ = false;           // likewise
};

}  // namespace outboxx
