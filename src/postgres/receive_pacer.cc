#include "postgres/receive_pacer.h"

#include <chrono>
#include <cstdint>
#include <utility>

#include "base/time.h"

namespace outboxx {
namespace {

bool is_burst_rate(std::int64_t messages, Duration elapsed) {
  return messages * std::chrono::milliseconds(1) >= ReceivePacer::kBurstMessagesPerMillisecond * elapsed;
}

}  // namespace

ReceivePace ReceivePacer::pace(TimePoint now) {
  steady_wake_ups_ += messages_ > 0 ? 1 : 0;
  steady_messages_ += messages_;
  burst_messages_ += std::exchange(messages_, 0);
  if (const auto elapsed = now - burst_window_start_; elapsed >= kBurstWindow) {
    is_burst_ = is_burst_rate(std::exchange(burst_messages_, 0), elapsed);
    burst_window_start_ = now;
  }
  // A wake-up for something else says nothing about messages that may be waiting.
  if (std::exchange(was_read_, false) && now - steady_window_start_ >= kSteadyWindow) {
    end_steady_window(now);
  }
  if (is_steady_ && !is_backlog_) {
    return ReceivePace::kSteady;
  }
  return is_burst_ ? ReceivePace::kBurst : ReceivePace::kEach;
}

void ReceivePacer::end_steady_window(TimePoint now) {
  const auto elapsed = now - steady_window_start_;
  const std::int64_t messages = std::exchange(steady_messages_, 0);
  const std::int64_t wake_ups = std::exchange(steady_wake_ups_, 0);
  is_steady_ = is_steady_ ? messages * kSteadyWindow >= kMessagesToStay * elapsed
                          : wake_ups * kSteadyWindow >= kWakeUpsToGather * elapsed;
  const std::int64_t bytes = std::exchange(bytes_, 0);
  is_backlog_ = is_burst_rate(messages, elapsed) && bytes * Duration(kBound) / kBacklogBytes >= elapsed;
  steady_window_start_ = now;
}

}  // namespace outboxx
