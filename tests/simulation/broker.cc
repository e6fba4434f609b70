#include "simulation/broker.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace outboxx::simulation {
namespace {

constexpr Duration kDelayMin = std::chrono::microseconds(50);

}  // namespace

BrokerSink::BrokerSink(Cluster& cluster, Checker& checker, CrashPoint& crash, const Options& options,
                       std::optional<std::uint64_t> producer, Random& random, TimePoint now)
    : cluster_(cluster),
      checker_(checker),
      crash_(crash),
      options_(options),
      random_(random),
      now_(now),
      producer_(producer),
      logs_(kStreams * options.partitions + 1) {}

BrokerSink::Log& BrokerSink::log_of(const Record& record) {
  return record.stream == kProgressStream
             ? logs_.back()
             : logs_[record.stream * options_.partitions + partition_of(record.key, options_.partitions)];
}

Result<Admission> BrokerSink::produce(const Record& record, UnitId unit) {
  crash_.pass();
  const bool is_progress = record.stream == kProgressStream;
  if (end_ != End::kNone) {
    return Admission::kFull;
  }
  if (refuse_next_ && !is_progress) {
    return fail(ErrorCode::kKafkaRefused, "record is too large");
  }
  if (undelivered_ >= options_.capacity && !is_progress) {
    return Admission::kFull;
  }
  undelivered_ += is_progress ? 0 : 1;
  log_of(record).waiting.push_back(
      {.record =
           {.stream = record.stream, .key = record.key, .value = record.value, .id = record.id, .is_split = record.is_split},
       .unit = unit});
  if (is_progress && producer_) {
    end_ = End::kWanted;
  }
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
  for (const Queued& queued : request.records) {
    if (producer_) {
      cluster_.store_in_transaction(*producer_, queued.record);
    } else {
      cluster_.store(queued.record);
    }
  }
}

void BrokerSink::advance(TimePoint now) {
  now_ = now;
  for (Log& log : logs_) {
    for (Request& request : log.requests) {
      if (request.is_stored || log.is_broken || request.store_at > now) {
        continue;
      }
      if (producer_ && !cluster_.is_current(*producer_)) {
        request.fails = true;
        failure_code_ = ErrorCode::kFenced;
      }
      log.is_broken = request.fails;
      if (!request.fails || random_.percent(30)) {
        store(request);
      }
    }
  }
  advance_end();
}

void BrokerSink::advance_end() {
  const auto is_idle = [](const Log& log) { return log.waiting.empty() && log.requests.empty(); };
  if (end_ == End::kWanted && std::ranges::all_of(logs_, is_idle)) {
    end_ = End::kSent;
    end_arrives_at_ = now_ + random_.time(kDelayMin, options_.store_max);
    end_told_at_ = end_arrives_at_ + random_.time(kDelayMin, options_.acknowledge_max);
    end_fails_ = std::exchange(fail_next_commit_, false);
    end_is_lost_ = end_fails_ && random_.percent(50);
  }
  if (end_ == End::kSent && end_arrives_at_ <= now_) {
    end_ = End::kArrived;
    end_fails_ = end_fails_ || !cluster_.is_current(*producer_);
    if (!end_is_lost_) {
      cluster_.end_transaction(*producer_);
    } else if (random_.percent(50)) {  // late, not lost
      cluster_.leave_end(*producer_);
    }
  }
}

void BrokerSink::take_end() {
  if (end_ != End::kArrived || end_told_at_ > now_ || failure_) {
    return;
  }
  end_ = End::kNone;
  if (end_fails_) {
    failure_ = Error{.code = cluster_.is_current(*producer_) ? ErrorCode::kKafkaUnreachable : ErrorCode::kFenced,
                     .message = "the end of the transaction is unknown"};
    return;
  }
  deliveries_.push_back({.unit = kProgressUnit, .count = 1});
  checker_.progress_delivered(now_);
}

void BrokerSink::take_request(const Request& request) {
  for (const Queued& queued : request.records) {
    if (queued.record.stream != kProgressStream) {
      deliveries_.push_back({.unit = queued.unit, .count = 1});
      checker_.delivered(queued.record.id.commit_lsn, now_);
      --undelivered_;
    } else if (!producer_) {
      deliveries_.push_back({.unit = kProgressUnit, .count = 1});
      checker_.progress_delivered(now_);
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
      take_request(request);
      log.requests.pop_front();
    }
  }
  take_end();
  if (failure_) {
    return std::unexpected(*failure_);
  }
  return deliveries_;
}

TimePoint BrokerSink::ready_at() const {
  TimePoint at = end_ == End::kArrived ? end_told_at_ : TimePoint::max();
  for (const Log& log : logs_) {
    if (!log.requests.empty()) {
      at = std::min(at, log.requests.front().acknowledge_at);
    }
  }
  return at;
}

TimePoint BrokerSink::next_event() const {
  TimePoint next = end_ == End::kSent ? end_arrives_at_ : TimePoint::max();
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
  if (end_ == End::kSent) {
    cluster_.leave_end(*producer_);
  }
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
