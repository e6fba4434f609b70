// StateStore: where a pipeline's state records are read and written before it streams: a Kafka topic, a file, or nowhere.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "base/wait.h"
#include "config.h"
#include "model/state_record.h"
#include "sink/kafka_state_topic.h"

namespace outboxx {

class StateStore {
 public:
  // pipeline: its id. If the options allow that, a topic that the brokers refuse, now or later, is done without, with a
  // warning: then no state is kept.
  [[nodiscard]] static Result<StateStore> open(const Config& config, std::string pipeline, StopSignal stop);

  [[nodiscard]] bool is_kept() const { return topic_ != nullptr || !file_.empty(); }
  // Under which this process writes.
  [[nodiscard]] const std::string& key() const { return key_; }

  [[nodiscard]] Result<StateHistory> read(StopSignal stop);
  [[nodiscard]] Result<> write(const StateRecord& record, StopSignal stop);
  // In a file, markers stand beside the record: FILE.gap-POSITION.
  [[nodiscard]] Result<> write(const GapMarker& marker, StopSignal stop);
  // Removes what other processes left and what tells nothing any more: it is behind what the slot has confirmed.
  [[nodiscard]] Result<> forget(const StateHistory& history, Lsn confirmed, StopSignal stop);

 private:
  StateStore(std::string pipeline, bool may_be_missing);
  // Nothing if error is a refusal that may be: the topic is given up then.
  [[nodiscard]] Result<> give_up_topic(Error error);

  std::string pipeline_;
  std::string key_;
  bool may_be_missing_;
  std::unique_ptr<KafkaStateTopic> topic_;
  std::string file_;
};

// Of [state], or made of database and slot.
[[nodiscard]] std::string pipeline_id(const Config& config, const std::string& database);

}  // namespace outboxx
