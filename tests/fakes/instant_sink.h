// InstantSink: takes every record, keeps none, and reports it as delivered at the next poll(). Allocates nothing per record.
#pragma once

#include <sys/eventfd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "sink/sink.h"

namespace outboxx {

class InstantSink final : public Sink {
 public:
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  Result<> open(TimePoint, StopSignal) override { return {}; }
  // Always readable: the pipeline takes deliveries in each turn.
  [[nodiscard]] pollfd poll_fd() const override { return {event_.get(), POLLIN, 0}; }
  Result<Admission> produce(const Record& record, UnitId unit) override {
    if (!waiting_.empty() && waiting_.back().unit == unit) {
      ++waiting_.back().count;
    } else if (waiting_.size() < kUnitsMax) {
      waiting_.push_back({.unit = unit, .count = 1});
    } else {
      return Admission::kFull;
    }
    ++records_;
    bytes_ += record.key.size() + record.value.size();
    return Admission::kAccepted;
  }
  [[nodiscard]] std::chrono::milliseconds linger() const override { return {}; }
  Result<> flush() override { return {}; }
  Result<std::span<const Delivery>> poll() override {
    std::swap(reported_, waiting_);
    waiting_.clear();
    return std::span<const Delivery>(reported_);
  }
  void abandon() noexcept override {}

 private:
  static constexpr std::size_t kUnitsMax = 4096;

  static std::vector<Delivery> reserved() {
    std::vector<Delivery> deliveries;
    deliveries.reserve(kUnitsMax);
    return deliveries;
  }

  UniqueFd event_{::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::vector<Delivery> waiting_ = reserved();
  std::vector<Delivery> reported_ = reserved();
  std::uint64_t records_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace outboxx
