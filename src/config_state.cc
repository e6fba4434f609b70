#include "config_state.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "config.h"
#include "config_reader.h"
#include "config_rules.h"
#include "model/stream.h"
#include "postgres/options.h"
#include "progress_options.h"
#include "sink/kafka_options.h"
#include "state_options.h"

namespace outboxx {
namespace {

constexpr auto kDeliveries = std::to_array<Choice<DeliveryMode>>(
    {{"at_least_once", DeliveryMode::kAtLeastOnce}, {"exactly_once", DeliveryMode::kExactlyOnce}});
constexpr auto kStateModes =
    std::to_array<Choice<StateMode>>({{"topic", StateMode::kTopic}, {"file", StateMode::kFile}, {"none", StateMode::kNone}});

constexpr auto kSnapshotModes = std::to_array<Choice<SnapshotMode>>(
    {{"initial", SnapshotMode::kInitial}, {"only", SnapshotMode::kOnly}, {"never", SnapshotMode::kNever}});
constexpr std::int64_t kSnapshotConnectionsMax = 16;

void assign(std::optional<ConfigText> text, std::string& target) {
  if (text) {
    target = std::move(text->value);
  }
}

void read_transaction(const ConfigTable& transaction, ProgressOptions& options) {
  const auto read = [&transaction](std::string_view key, std::int64_t minimum, std::int64_t maximum, std::uint64_t& target) {
    auto number = static_cast<std::int64_t>(target);
    transaction.read_integer(key, minimum, maximum, number);
    target = static_cast<std::uint64_t>(number);
  };
  read("batch_bytes", 1024, std::int64_t{1} << 30, options.batch_bytes);
  read("batch_records", 1, 10'000'000, options.batch_records);
  std::int64_t milliseconds = options.batch_age.count();
  transaction.read_integer("batch_ms", 1, 10'000, milliseconds);
  options.batch_age = std::chrono::milliseconds(milliseconds);
  read("bytes_max", 1024, std::int64_t{1} << 40, options.split_bytes);
  transaction.read_bool("split_large_transactions", options.may_split);
}

}  // namespace

void read_delivery(const ConfigTable& kafka, Config& config) {
  kafka.read_choice("delivery", std::span<const Choice<DeliveryMode>>(kDeliveries), config.kafka.delivery);
  if (config.sink != SinkType::kKafka && config.kafka.delivery == DeliveryMode::kExactlyOnce) {
    // [sink.kafka] may stay in the file while standard output is tried.
    kafka.report().warning(kafka.find("delivery")->position, kafka.full_name("delivery"),
                           "is of no effect: standard output has no transactions, and is at_least_once");
    config.kafka.delivery = DeliveryMode::kAtLeastOnce;
  }
  config.progress.is_transactional = config.kafka.delivery == DeliveryMode::kExactlyOnce;
  read_transaction(kafka.table("transaction"), config.progress);
}

void read_state(const ConfigTable& state, Config& config) {
  StateOptions& options = config.state;
  const bool is_stdout = config.sink == SinkType::kStdout;
  assign(state.text("file", kPathRule), options.file);
  options.mode = !is_stdout ? StateMode::kTopic : options.file.empty() ? StateMode::kNone : StateMode::kFile;
  const StateMode natural = options.mode;
  state.read_choice("mode", std::span<const Choice<StateMode>>(kStateModes), options.mode);
  assign(state.text("topic", kTopicRule), options.topic);
  assign(state.text("id", kPipelineRule), options.id);
  const auto fault = [&state](std::string_view key, std::string_view problem) {
    const TomlValue* const value = state.find(key);
    state.report().fault(value == nullptr ? state.position() : value->position, state.full_name(key), problem);
  };
  if (is_stdout && options.mode == StateMode::kFile && options.file.empty()) {
    fault("file", "is missing: state.mode is \"file\"");
  } else if (options.mode != StateMode::kNone && options.mode != natural) {
    fault("mode", is_stdout ? "must be \"file\", with a file, or \"none\" for the sink \"stdout\""
                            : "must be \"topic\" or \"none\" for the sink \"kafka\"");
  }
  if (options.mode == StateMode::kNone && config.progress.is_transactional) {
    fault("mode", "must be \"topic\": sink.kafka.delivery is \"exactly_once\", and records its position there");
  }
  for (const StreamConfig& stream : config.streams) {
    if (options.mode == StateMode::kTopic && stream.topic == options.topic) {
      fault("topic", "must not be the topic of a stream");
    }
  }
}

void read_snapshot(const ConfigTable& snapshot, SnapshotOptions& options) {
  snapshot.read_choice("mode", std::span<const Choice<SnapshotMode>>(kSnapshotModes), options.mode);
  std::int64_t connections = options.connections;
  snapshot.read_integer("connections", 1, kSnapshotConnectionsMax, connections);
  options.connections = static_cast<int>(connections);
  auto chunk_bytes = static_cast<std::int64_t>(options.chunk_bytes);
  snapshot.read_integer("chunk_bytes", 8192, std::int64_t{1} << 30, chunk_bytes);
  options.chunk_bytes = static_cast<std::uint64_t>(chunk_bytes);
}

void check_snapshot_mode(const ConfigTable& root, const Config& config) {
  if (config.postgres.snapshot.mode != SnapshotMode::kOnly) {
    return;
  }
  const ConfigTable snapshot = root.table("source").table("postgres").table("snapshot");
  const auto fault = [&snapshot](std::string_view problem) {
    const TomlValue* const value = snapshot.find("mode");
    snapshot.report().fault(value == nullptr ? snapshot.position() : value->position, snapshot.full_name("mode"), problem);
  };
  if (config.progress.is_transactional) {
    fault("\"only\" keeps no record of how far it came, so sink.kafka.delivery cannot be \"exactly_once\"");
  }
  if (std::ranges::none_of(config.streams, [](const StreamConfig& stream) { return stream.operations.read; })) {
    fault("\"only\" has nothing to do: no stream's operations have \"read\"");
  }
}

}  // namespace outboxx
