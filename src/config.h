// Config: everything the configuration file says, checked; a struct of the components' own options.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "http_options.h"
#include "model/stream.h"
#include "pipeline_options.h"
#include "postgres/options.h"
#include "progress_options.h"
#include "sink/kafka_options.h"
#include "state_options.h"

namespace outboxx {

// [metadata] version: which defaults hold. The keys are the same.
enum class ConfigVersion : std::uint8_t {
  kV0,  // the Zig program's defaults: no header, consistent_random, no compression, the server's TimeZone, HTTP on 0.0.0.0
  kV1,
};

enum class SinkType : std::uint8_t { kKafka, kStdout };

struct Config {
  ConfigVersion version = ConfigVersion::kV1;
  PostgresOptions postgres;
  SinkType sink = SinkType::kKafka;
  KafkaOptions kafka;
  std::optional<HttpOptions> observability;
  PipelineOptions pipeline;
  ProgressOptions progress;
  StateOptions state;
  std::vector<StreamConfig> streams;
  // What is allowed, but probably not meant: "FILE:LINE:COLUMN: key: what and why". For the caller to log.
  std::vector<std::string> warnings;
};

// Reads and checks the file and the environment variables it names. All faults are found in one go: the error's message has
// one line per fault, "FILE:LINE:COLUMN: key: what is wrong, what is allowed", in the order of the file. Arrays count from 0
// in keys: "streams[1].source.operations". No message holds a secret. kConfig.
[[nodiscard]] Result<Config> load_config(const std::string& path);

// The same for a text; path is for messages. For tests and fuzzing.
[[nodiscard]] Result<Config> parse_config(std::string_view text, const std::string& path);

// Every key with its full dotted name, without array indexes: "streams.source.operations". The keys inside of
// sink.kafka.properties are librdkafka's and not listed.
[[nodiscard]] std::span<const std::string_view> config_keys();

}  // namespace outboxx
