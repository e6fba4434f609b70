// Counter and Gauge: a number that one thread writes and any thread reads. Plain relaxed atomics.
#pragma once

#include <atomic>
#include <cstdint>

namespace outboxx {

// Only ever rises. One thread adds, any thread reads.
class Counter {
 public:
  void add(std::uint64_t count = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);  // one writer: no locked add
  }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  explicit Gauge(std::int64_t value = 0) : value_(value) {}
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_;
};

}  // namespace outboxx
