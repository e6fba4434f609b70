// Backoff: growing waits between attempts, with jitter so that many clients do not come back at the same moment.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace outboxx {

class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds longest)
      : first_(first), longest_(longest), next_(first) {}

  // The wait before the next attempt: up to a quarter less than twice the one before, at most the longest.
  std::chrono::milliseconds next() { return next(longest_); }
  // The same, but at most this once: the growth goes on.
  std::chrono::milliseconds next(std::chrono::milliseconds at_most) {
    const auto wait = std::min(next_, at_most);
    std::uniform_int_distribution<std::chrono::milliseconds::rep> jitter(0, wait.count() / 4);
    next_ = std::min(next_ * 2, longest_);
    return wait - std::chrono::milliseconds(jitter(random_));
  }
  // After a success.
  void reset() { next_ = first_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds longest_;
  std::chrono::milliseconds next_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace outboxx
