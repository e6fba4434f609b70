#include "state_store.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/time.h"
#include "base/wait.h"
#include "config.h"
#include "model/state_record.h"
#include "sink/kafka_state_topic.h"
#include "sink/state_file.h"
#include "state_options.h"

namespace outboxx {
namespace {

// Longer than a Kafka transaction of another pipeline can stand in the way of reading.
constexpr std::chrono::seconds kReadTimeout{75};
constexpr std::chrono::seconds kTimeout{10};
// Of one start.
constexpr int kForgottenMax = 100;

// Random, because a clock or a process id may come again on another machine.
std::string new_instance() {
  std::uint64_t number = 0;
  CHECK(::getrandom(&number, sizeof number, 0) == sizeof number);
  return fmt::format("{:016x}", number);
}

// The hint of error is about a topic.
std::unexpected<Error> no_record_in(const std::string& file, Error error) {
  error.hint =
      "Somebody else wrote the file, or a newer Outboxx did: look at it, and name another file in [state] if it is not ours.";
  return fail_with_context("state file \"" + file + "\"", std::move(error));
}

}  // namespace

StateStore::StateStore(std::string pipeline, bool may_be_missing)
    : pipeline_(std::move(pipeline)), key_(state_key(pipeline_, new_instance())), may_be_missing_(may_be_missing) {}

Result<StateStore> StateStore::open(const Config& config, std::string pipeline, StopSignal stop) {
  StateStore store(std::move(pipeline), config.state.may_be_missing);
  switch (config.state.mode) {
    case StateMode::kNone:
      break;
    case StateMode::kFile:
      store.file_ = config.state.file;
      break;
    case StateMode::kTopic: {
      auto topic = KafkaStateTopic::open(config.kafka, config.state.topic, Clock::now() + kTimeout, stop);
      if (topic) {
        store.topic_ = std::move(*topic);
      } else {
        TRY(store.give_up_topic(std::move(topic).error()));
      }
    }
  }
  return store;
}

Result<> StateStore::give_up_topic(Error error) {
  if (error.code != ErrorCode::kKafkaRefused || !may_be_missing_) {
    return std::unexpected(std::move(error));
  }
  topic_.reset();
  log::warn("going on without a state record: a slot that loses changes will not be noticed",
            {{"reason", error.message}, {"hint", error.hint}});
  return {};
}

Result<StateHistory> StateStore::read(StopSignal stop) {
  StateHistory history(pipeline_);
  if (topic_ != nullptr) {
    auto found = topic_->read(pipeline_, Clock::now() + kReadTimeout, stop);
    if (found) {
      return found;
    }
    TRY(give_up_topic(std::move(found).error()));
    return history;
  }
  if (!file_.empty()) {
    if (const auto text = TRY(read_state_file(file_))) {
      if (auto taken = history.take(key_, *text); !taken) {
        return no_record_in(file_, std::move(taken).error());
      }
    }
  }
  return history;
}

Result<> StateStore::write(const StateRecord& record, StopSignal stop) {
  if (topic_ != nullptr) {
    auto written = topic_->write(key_, encode(record), Clock::now() + kTimeout, stop);
    return written ? written : give_up_topic(std::move(written).error());
  }
  return file_.empty() ? Result<>{} : write_state_file(file_, encode(record));
}

Result<> StateStore::write(const GapMarker& marker, StopSignal stop) {
  if (topic_ != nullptr) {
    return topic_->write(gap_key(pipeline_, marker.to), encode(marker), Clock::now() + kTimeout, stop);
  }
  return file_.empty() ? Result<>{} : write_state_file(fmt::format("{}.gap-{:X}", file_, marker.to.value), encode(marker));
}

Result<> StateStore::forget(const StateHistory& history, Lsn confirmed, StopSignal stop) {
  if (topic_ == nullptr) {
    return {};
  }
  int forgotten = 0;
  for (const std::string& key : history.outdated(confirmed)) {
    if (forgotten++ == kForgottenMax) {
      break;
    }
    if (auto written = topic_->write(key, std::nullopt, Clock::now() + kTimeout, stop); !written) {
      return give_up_topic(std::move(written).error());
    }
  }
  return {};
}

std::string pipeline_id(const Config& config, const std::string& database) {
  return config.state.id.empty() ? database + "." + config.postgres.slot_name : config.state.id;
}

}  // namespace outboxx
