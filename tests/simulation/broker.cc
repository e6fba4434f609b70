#include "simulation/broker.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace outboxx::simulation {
namespace {

constexpr Duration kDelayMin = std::chrono::microseconds(50);

}  // namespace

BrokerSink::BrokerSink(Checker& checker, CrashPoint& crash, const Options& options, Random& random, TimePoint now)
    : checker_(checker), crash_(crash), options_(options), random_(random), now_(now), logs_(kStreams * options.partitions) {}

Result<Admission> BrokerSink::produce(const Record& record, UnitId unit) {
  crash_.pass();
  if (refuse_next_) {
    return fail(ErrorCode::kKafkaRefused, "record is too large");
  }
  if (undelivered_ >= options_.capacity) {
    return Admission::kFull;
  }
  ++undelivered_;
  Log& log = logs_[record.stream * options_.partitions + partition_of(record.key, options_.partitions)];
  log.waiting.push_back({.stream = record.stream, .key = record.key, .value = record.value, .id = record.id, .unit = unit});
  return Admission::kAccepted;
}

Result<> BrokerSink::flush() {
  crash_.pass();
  for (Log& log : logs_) {
    while (!log.waiting.empty()) {
      hand_over(log);
    }
  }
  return {};
}

void BrokerSink::hand_over(Log& log) {
  const std::size_t count = std::min<std::size_t>(log.waiting.size(), random_.between(1, options_.batch_max));
  log.last_store = std::max(log.last_store, now_ + random_.time(kDelayMin, options_.store_max));
  log.last_acknowledge = std::max(log.last_acknowledge, log.last_store + random_.time(kDelayMin, options_.acknowledge_max));
  Request& request = log.requests.emplace_back(Request{
      .records = {}, .store_at = log.last_store, .acknowledge_at = log.last_acknowledge, .fails = fail_next_.has_value()});
  const auto end = log.waiting.begin() + static_cast<std::ptrdiff_t>(count);
  std::ranges::move(log.waiting.begin(), end, std::back_inserter(request.records));
  log.waiting.erase(log.waiting.begin(), end);
  if (fail_next_) {
    failure_code_ = *std::exchange(fail_next_, std::nullopt);
  }
}

void BrokerSink::store(Request& request) {
  request.is_stored = true;
  for (const Queued& record : request.records) {
    checker_.stored(record.stream, record.key, record.value, record.id);
  }
}

void BrokerSink::advance(TimePoint now) {
  now_ = now;
  for (Log& log : logs_) {
    for (Request& request : log.requests) {
      if (request.is_stored || log.is_broken || request.store_at > now) {
        continue;
      }
      log.is_broken = request.fails;
      if (!request.fails || random_.percent(30)) {
        store(request);
      }
    }
  }
}

Result<std::span<const Delivery>> BrokerSink::poll() {
  crash_.pass();
  deliveries_.clear();
  for (Log& log : logs_) {
    while (!log.requests.empty() && log.requests.front().acknowledge_at <= now_ && !failure_) {
      const Request& request = log.requests.front();
      if (request.fails) {
        failure_ = Error{.code = failure_code_, .message = "delivery failed"};
        break;
      }
      if (!request.is_stored) {
        break;  // behind a failed one
      }
      for (const Queued& record : request.records) {
        deliveries_.push_back({.unit = record.unit, .count = 1});
        checker_.delivered(record.id.commit_lsn, now_);
      }
      undelivered_ -= request.records.size();
      log.requests.pop_front();
    }
  }
  if (failure_) {
    return std::unexpected(*failure_);
  }
  return deliveries_;
}

TimePoint BrokerSink::ready_at() const {
  TimePoint at = TimePoint::max();
  for (const Log& log : logs_) {
    if (!log.requests.empty()) {
      at = std::min(at, log.requests.front().acknowledge_at);
    }
  }
  return at;
}

TimePoint BrokerSink::next_event() const {
  TimePoint next = TimePoint::max();
  for (const Log& log : logs_) {
    const auto waiting = std::ranges::find(log.requests, false, &Request::is_stored);
    if (waiting != log.requests.end() && !log.is_broken) {
      next = std::min(next, waiting->store_at);
    }
  }
  return next;
}

void BrokerSink::stall(std::size_t partition, TimePoint until) {
  Log& log = logs_[partition];
  log.last_store = std::max(log.last_store, until);
  log.last_acknowledge = std::max(log.last_acknowledge, until);
  for (Request& request : log.requests) {
    if (!request.is_stored) {
      request.store_at = std::max(request.store_at, until);
      request.acknowledge_at = std::max(request.acknowledge_at, until);
    }
  }
}

void BrokerSink::close() {
  for (Log& log : logs_) {
    for (Request& request : log.requests) {
      if (request.is_stored) {
        continue;
      }
      if (log.is_broken || request.fails || random_.percent(50)) {
        break;
      }
      store(request);
    }
  }
}

}  // namespace outboxx::simulation
