// BrokerSink: the simulated broker behind the Sink interface. Each partition takes records in the order they were produced,
// some time after they were handed over, and says so some time later; partitions do not wait for each other.
//
// Exactly once, a record of progress ends the Kafka transaction: when all of it is acknowledged, the request to end it goes
// out. It counts when it arrives, and is told of later, or never.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "simulation/checker.h"
#include "simulation/cluster.h"
#include "simulation/crash.h"
#include "simulation/random.h"
#include "sink/sink.h"

namespace outboxx::simulation {

class BrokerSink final : public Sink {
 public:
  struct Options {
    std::size_t partitions = 1;
    std::size_t capacity = 1000;  // undelivered records
    std::size_t batch_max = 100;
    Duration store_max{};        // from handed over to stored
    Duration acknowledge_max{};  // from stored to told
    std::chrono::milliseconds linger{};
  };

  // producer: its epoch, exactly once.
  BrokerSink(Cluster& cluster, Checker& checker, CrashPoint& crash, const Options& options,
             std::optional<std::uint64_t> producer, Random& random, TimePoint now);

  [[nodiscard]] Result<> open(TimePoint, StopSignal) override { return {}; }
  [[nodiscard]] pollfd poll_fd() const override { return {.fd = 0, .events = POLLIN, .revents = 0}; }
  [[nodiscard]] Result<Admission> produce(const Record& record, UnitId unit) override;
  [[nodiscard]] std::chrono::milliseconds linger() const override { return options_.linger; }
  [[nodiscard]] Result<> flush() override;
  [[nodiscard]] Result<std::span<const Delivery>> poll() override;
  void abandon() noexcept override {}

  // The world's side.
  void advance(TimePoint now);
  [[nodiscard]] TimePoint ready_at() const;  // when poll(2) would report it
  [[nodiscard]] TimePoint next_event() const;
  // A partition has no leader until then: nothing is stored.
  void stall(std::size_t partition, TimePoint until);
  // The next request is refused; its records may be stored all the same. Nothing behind it in its partition is.
  void fail_next(ErrorCode code) { fail_next_ = code; }
  void refuse_next_record() { refuse_next_ = true; }
  // The next Kafka transaction ends with an error, and may have been committed all the same.
  void fail_next_commit() { fail_next_commit_ = true; }
  // The producer is gone. What was on its way may be stored, now or never.
  void close();
  [[nodiscard]] std::size_t logs() const { return logs_.size(); }

 private:
  struct Queued {
    Cluster::Stored record;
    UnitId unit = 0;
  };
  struct Request {
    std::vector<Queued> records;
    TimePoint store_at;
    TimePoint acknowledge_at;
    bool is_stored = false;
    bool fails = false;
  };
  struct Log {
    std::deque<Queued> waiting;
    std::deque<Request> requests;
    TimePoint last_store;
    TimePoint last_acknowledge;
    bool is_broken = false;  // a request failed
  };

  // Of the Kafka transaction: nothing of it is to be acknowledged any more; the request to end it is on its way; or has
  // arrived.
  enum class End : std::uint8_t { kNone, kWanted, kSent, kArrived };

  void hand_over(Log& log);
  void store(Request& request);
  void take_request(const Request& request);
  void advance_end();
  void take_end();
  [[nodiscard]] Log& log_of(const Record& record);

  Cluster& cluster_;
  Checker& checker_;
  CrashPoint& crash_;
  Options options_;
  Random& random_;
  TimePoint now_;
  std::optional<std::uint64_t> producer_;
  std::vector<Log> logs_;  // of each partition of each topic, and of the state topic
  End end_ = End::kNone;
  TimePoint end_arrives_at_;
  TimePoint end_told_at_;
  bool end_is_lost_ = false;
  bool end_fails_ = false;
  bool fail_next_commit_ = false;
  std::size_t undelivered_ = 0;
  std::vector<Delivery> deliveries_;
  std::optional<ErrorCode> fail_next_;
  ErrorCode failure_code_ = ErrorCode::kKafkaUnreachable;
  std::optional<Error> failure_;
  bool refuse_next_ = false;
};

}  // namespace outboxx::simulation
