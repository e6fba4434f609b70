// StateOptions: the [state] part of the configuration, and what the command line says to one start.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace outboxx {

enum class StateMode : std::uint8_t {
  kNone,
  kTopic,  // a compacted Kafka topic
  kFile,   // for the stdout sink
};

struct StateOptions {
  StateMode mode = StateMode::kTopic;
  std::string topic = "outboxx-state";
  std::string file;
  std::string id;                          // of the pipeline; empty: DATABASE.SLOT, and in Kafka transactions SLOT
  bool may_be_missing = false;             // v0: go on without it if the broker refuses the topic
  bool adopts_slot = false;                // --adopt-slot, or a v0 file
  std::optional<std::string> accepts_gap;  // --accept-gap REASON
};

}  // namespace outboxx
