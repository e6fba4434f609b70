#include "postgres/receive_pacer.h"

#include <chrono>
#include <utility>

namespace outboxx {
namespace {

bool is_burst_rate(std::int64_t messages, Duration elapsed) {
  return messages * std::chrono::milliseconds(1) >= ReceivePacer::kBurstMessagesPerMillisecond * elapsed;
}

}  // namespace

bool ReceivePacer::raised(TimePoint now) {
  steady_wake_ups_ += messages_ > 0 ? 1 : 0;
  steady_messages_ += messages_;
  burst_messages_ += std::exchange(messages_, 0);
  if (const auto elapsed = now - burst_window_start_; elapsed >= kBurstWindow) {
    is_burst_ = is_burst_rate(std::exchange(burst_messages_, 0), elapsed);
    burst_window_start_ = now;
  }
  if (now - steady_window_start_ >= kSteadyWindow) {
    end_steady_window(now);
  }
  return is_burst_ || (is_steady_ && !was_burst_);
}

void ReceivePacer::end_steady_window(TimePoint now) {
  const auto elapsed = now - steady_window_start_;
  const std::int64_t wanted = is_steady_ ? kWakeUpsToStay : kWakeUpsToRaise;
  was_burst_ = is_burst_rate(std::exchange(steady_messages_, 0), elapsed);
  is_steady_ = std::exchange(steady_wake_ups_, 0) * kSteadyWindow >= wanted * elapsed;
  steady_window_start_ = now;
}

}  // namespace outboxx
