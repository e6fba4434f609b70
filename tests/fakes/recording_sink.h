// RecordingSink: keeps what it is given, and delivers or fails it when the test says so.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "sink/sink.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace outboxx {

class RecordingSink final : public Sink {
 public:
  struct Sent {
    std::size_t stream;
    std::string key;
    std::string value;
    EventId id;
    UnitId unit;
    bool is_split;
  };

  std::size_t capacity = 1'000'000;  // undelivered records
  bool deliver_at_once = false;
  std::chrono::milliseconds linger_time{0};
  std::optional<Error> produce_error;
  std::vector<Sent> sent;
  bool abandoned = false;
  int flushes = 0;

  // The oldest count records that are not delivered arrive.
  void deliver(std::size_t count) {
    for (; count > 0 && delivered_ < sent.size(); --count) {
      waiting_.push_back({sent[delivered_++].unit, 1});
    }
    signal();
  }
  void deliver_all() { deliver(sent.size() - delivered_); }
  void fail_delivery(Error error) {
    delivery_error_ = std::move(error);
    signal();
  }
  [[nodiscard]] std::size_t undelivered() const { return sent.size() - delivered_; }

  Result<> open(TimePoint, StopSignal) override { return {}; }
  [[nodiscard]] pollfd poll_fd() const override { return {event_.get(), POLLIN, 0}; }
  Result<Admission> produce(const Record& record, UnitId unit) override {
    if (produce_error) {
      return std::unexpected(*produce_error);
    }
    if (undelivered() >= capacity) {
      return Admission::kFull;
    }
    sent.push_back({record.stream, record.key, record.value, record.id, unit, record.is_split});
    return Admission::kAccepted;
  }
  [[nodiscard]] std::chrono::milliseconds linger() const override { return linger_time; }
  Result<> flush() override {
    ++flushes;
    if (deliver_at_once && undelivered() > 0) {
      deliver_all();
    }
    return {};
  }
  Result<std::span<const Delivery>> poll() override {
    eventfd_t count = 0;
    ::eventfd_read(event_.get(), &count);
    if (delivery_error_) {
      return std::unexpected(*delivery_error_);
    }
    reported_ = std::exchange(waiting_, {});
    return reported_;
  }
  void abandon() noexcept override { abandoned = true; }

 private:
  void signal() const { ::eventfd_write(event_.get(), 1); }

  UniqueFd event_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::size_t delivered_ = 0;
  std::vector<Delivery> waiting_;
  std::vector<Delivery> reported_;
  std::optional<Error> delivery_error_;
};

}  // namespace outboxx
