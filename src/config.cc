#include "config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/secret_file.h"
#include "config_reader.h"
#include "config_rules.h"
#include "config_state.h"
#include "config_toml.h"
#include "http_options.h"
#include "model/stream.h"
#include "pipeline_options.h"
#include "postgres/options.h"
#include "sink/kafka_options.h"
#include "sink/kafka_properties.h"

namespace outboxx {
namespace {

constexpr auto kKeys = std::to_array<std::string_view>({
    "metadata.version",
    "source.type",
    "source.postgres.connection_env",
    "source.postgres.connection_file",
    "source.postgres.slot_name",
    "source.postgres.publication_name",
    "source.postgres.publication",
    "source.postgres.pin_time_zone",
    "source.postgres.insecure",
    "source.postgres.connect_timeout_ms",
    "source.postgres.snapshot.mode",
    "source.postgres.snapshot.connections",
    "source.postgres.snapshot.chunk_bytes",
    "sink.type",
    "sink.kafka.brokers",
    "sink.kafka.tls",
    "sink.kafka.tls_ca_location",
    "sink.kafka.sasl.mechanism",
    "sink.kafka.sasl.username",
    "sink.kafka.sasl.password_env",
    "sink.kafka.sasl.password_file",
    "sink.kafka.partitioner",
    "sink.kafka.compression",
    "sink.kafka.id_header",
    "sink.kafka.in_flight_bytes_max",
    "sink.kafka.delivery",
    "sink.kafka.transaction.batch_bytes",
    "sink.kafka.transaction.batch_records",
    "sink.kafka.transaction.batch_ms",
    "sink.kafka.transaction.bytes_max",
    "sink.kafka.transaction.split_large_transactions",
    "sink.kafka.properties",
    "pipeline.drain_timeout_ms",
    "pipeline.status_interval_ms",
    "pipeline.shutdown_grace_ms",
    "state.mode",
    "state.topic",
    "state.file",
    "state.id",
    "observability.address",
    "observability.port",
    "streams.name",
    "streams.source.resource",
    "streams.source.operations",
    "streams.flow.format",
    "streams.sink.destination",
    "streams.sink.routing_key",
    "tables.include",
    "tables.exclude",
});

constexpr std::size_t kFileBytesMax = std::size_t{1024} * 1024;
constexpr std::size_t kBrokersMax = 50;
constexpr std::size_t kStreamsMax = 100;
constexpr std::size_t kOperationsMax = 10;
constexpr std::int64_t kMillisecondsMax = 600'000;
constexpr std::string_view kHint = "Every key is described in docs/configuration.md.";

constexpr auto kVersions = std::to_array<Choice<ConfigVersion>>({{"v0", ConfigVersion::kV0}, {"v1", ConfigVersion::kV1}});
constexpr auto kSourceTypes = std::to_array<Choice<bool>>({{"postgres", true}});
constexpr auto kSinkTypes = std::to_array<Choice<SinkType>>({{"kafka", SinkType::kKafka}, {"stdout", SinkType::kStdout}});
constexpr auto kPublicationModes =
    std::to_array<Choice<PublicationMode>>({{"create", PublicationMode::kCreate}, {"existing", PublicationMode::kExisting}});
constexpr auto kMechanisms = std::to_array<Choice<SaslMechanism>>({{"PLAIN", SaslMechanism::kPlain},
                                                                   {"SCRAM-SHA-256", SaslMechanism::kScramSha256},
                                                                   {"SCRAM-SHA-512", SaslMechanism::kScramSha512}});
constexpr auto kFormats = std::to_array<Choice<FormatName>>({{"json", FormatName::kOutboxxJson}});
constexpr auto kPartitioners = std::to_array<Choice<std::string_view>>({{"random", "random"},
                                                                        {"consistent", "consistent"},
                                                                        {"consistent_random", "consistent_random"},
                                                                        {"murmur2", "murmur2"},
                                                                        {"murmur2_random", "murmur2_random"},
                                                                        {"fnv1a", "fnv1a"},
                                                                        {"fnv1a_random", "fnv1a_random"}});
constexpr auto kCompressions = std::to_array<Choice<std::string_view>>(
    {{"none", "none"}, {"gzip", "gzip"}, {"snappy", "snappy"}, {"lz4", "lz4"}, {"zstd", "zstd"}});

// A span of const, which template deduction does not make of an array by itself.
template <typename T, std::size_t N>
std::span<const Choice<T>> choices(const std::array<Choice<T>, N>& array) {
  return array;
}

void assign(std::optional<ConfigText> text, std::string& target) {
  if (text) {
    target = std::move(text->value);
  }
}

void read_milliseconds(const ConfigTable& table, std::string_view key, std::int64_t minimum,
                       std::chrono::milliseconds& target) {
  std::int64_t milliseconds = target.count();
  table.read_integer(key, minimum, kMillisecondsMax, milliseconds);
  target = std::chrono::milliseconds(milliseconds);
}

// The variable's value, which is a secret.
std::string read_environment(const ConfigText& variable, ConfigReport& report) {
  const char* value = std::getenv(variable.value.c_str());
  if (value != nullptr && *value != '\0') {
    return value;
  }
  const std::string name = is_conventional_variable(variable.value) ? " " + quoted(variable.value) : "";
  report.fault(variable.position, variable.key,
               fmt::format("environment variable{} {}", name, value == nullptr ? "is not set" : "is empty"));
  return {};
}

// The file's text, which is a secret.
std::string read_file(const ConfigText& path, ConfigReport& report) {
  auto text = read_secret_file(path.value);
  if (!text) {
    report.fault(path.position, path.key, text.error().message);
    return {};
  }
  if (is_exposed(path.value)) {
    report.warning(path.position, path.key, "others than its owner may read or write the file: chmod 0600");
  }
  return *std::move(text);
}

struct SecretKeys {
  std::string_view variable;
  std::string_view file;
};

struct Secret {
  std::string value;
  std::string variable;  // where it came from; one of the two
  std::string file;
};

Secret read_secret(const ConfigTable& table, const SecretKeys& keys) {
  const TomlValue* const file = table.find(keys.file);
  if (file != nullptr && table.find(keys.variable) != nullptr) {
    table.report().fault(file->position, table.full_name(keys.file),
                         fmt::format("cannot be used together with {}", keys.variable));
    return {};
  }
  if (file == nullptr) {
    const auto variable = table.require_text(keys.variable, kVariableRule);
    return variable ? Secret{.value = read_environment(*variable, table.report()), .variable = variable->value, .file = {}}
                    : Secret{};
  }
  const auto path = table.text(keys.file, kSecretPathRule);
  return path ? Secret{.value = read_file(*path, table.report()), .variable = {}, .file = path->value} : Secret{};
}

void apply_version(ConfigVersion version, Config& config) {
  config.version = version;
  const bool is_v0 = version == ConfigVersion::kV0;
  config.kafka.partitioner = is_v0 ? "consistent_random" : "murmur2_random";
  config.kafka.compression = is_v0 ? "none" : "lz4";
  config.kafka.id_header = !is_v0;
  config.postgres.pin_time_zone = !is_v0;
  config.postgres.insecure = is_v0;
  // A slot of the earlier Outboxx has no record: its own position is trusted, once.
  config.state.adopts_slot = is_v0;
  config.state.may_be_missing = is_v0;
}

// The server folds unquoted names, and slot names have to be lower case.
std::string folded(std::string name) {
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return name;
}

void read_source(const ConfigTable& source, PostgresOptions& options) {
  bool is_postgres = true;
  source.require_choice("type", choices(kSourceTypes), is_postgres);
  const ConfigTable postgres = source.table("postgres");
  Secret connection = read_secret(postgres, {.variable = "connection_env", .file = "connection_file"});
  options.conninfo = std::move(connection.value);
  options.connection_env = std::move(connection.variable);
  options.connection_file = std::move(connection.file);
  assign(postgres.require_text("slot_name", kIdentifierRule), options.slot_name);
  assign(postgres.require_text("publication_name", kIdentifierRule), options.publication_name);
  options.slot_name = folded(std::move(options.slot_name));
  options.publication_name = folded(std::move(options.publication_name));
  postgres.read_choice("publication", choices(kPublicationModes), options.publication_mode);
  postgres.read_bool("pin_time_zone", options.pin_time_zone);
  postgres.read_bool("insecure", options.insecure);
  read_milliseconds(postgres, "connect_timeout_ms", 100, options.connect_timeout);
  read_snapshot(postgres.table("snapshot"), options.snapshot);
}

void read_sasl(const ConfigTable& sasl, KafkaOptions& options) {
  if (!sasl.exists()) {
    return;
  }
  SaslOptions& result = options.sasl.emplace();
  sasl.require_choice("mechanism", choices(kMechanisms), result.mechanism);
  assign(sasl.require_text("username", kUserNameRule), result.username);
  Secret password = read_secret(sasl, {.variable = "password_env", .file = "password_file"});
  result.password = std::move(password.value);
  result.password_file = std::move(password.file);
  if (!options.tls) {
    sasl.report().warning(sasl.position(), sasl.name(), "sink.kafka.tls is false: the login crosses the network unencrypted");
  }
}

std::optional<std::string> property_text(const TomlValue& value) {
  if (const auto* text = std::get_if<std::string>(&value.data)) {
    return *text;
  }
  if (const auto* integer = std::get_if<std::int64_t>(&value.data)) {
    return fmt::format("{}", *integer);
  }
  if (const auto* number = std::get_if<double>(&value.data)) {
    return fmt::format("{}", *number);
  }
  if (const auto* boolean = std::get_if<bool>(&value.data)) {
    return *boolean ? "true" : "false";
  }
  return std::nullopt;
}

// Without quotes, TOML reads linger.ms = 5 as a table linger with a key ms: names are put together again.
struct PropertyReader {
  ConfigReport& report;
  std::string_view table_name;
  std::vector<std::pair<std::string, std::string>>& properties;

  void read_table(const TomlTable& table, const std::string& prefix) {
    for (const TomlEntry& entry : table) {
      const std::string name = prefix + entry.key;
      if (const auto* inner = std::get_if<TomlTable>(&entry.value.data)) {
        read_table(*inner, name + ".");
      } else {
        read_property(entry, name);
      }
    }
  }

  void read_property(const TomlEntry& entry, const std::string& name) {
    const std::string shown = quoted(name);
    const std::string key = fmt::format("{}.{}", table_name, shown.substr(1, shown.size() - 2));
    const std::optional<std::string> value = property_text(entry.value);
    if (!value) {
      report.fault(entry.value.position, key, "must be a string, an integer, a float or a boolean");
    } else if (const auto refusal = refuse_property(name, *value)) {
      report.fault(entry.key_position, key, *refusal);
    } else if (std::ranges::find(properties, name, &std::pair<std::string, std::string>::first) != properties.end()) {
      report.fault(entry.key_position, key, "is set twice, with quotes and without");
    } else {
      properties.emplace_back(name, *value);
    }
  }
};

void read_properties(const ConfigTable& kafka, KafkaOptions& options) {
  const ConfigTable table = kafka.table("properties");
  if (table.exists()) {
    PropertyReader{.report = kafka.report(), .table_name = table.name(), .properties = options.properties}.read_table(
        std::get<TomlTable>(kafka.find("properties")->data), "");
  }
}

void read_kafka(const ConfigTable& kafka, KafkaOptions& options) {
  for (ConfigText& broker : kafka.require_texts("brokers", kBrokerRule, kBrokersMax)) {
    options.brokers.push_back(std::move(broker.value));
  }
  kafka.read_bool("tls", options.tls);
  assign(kafka.text("tls_ca_location", kPathRule), options.tls_ca_location);
  read_sasl(kafka.table("sasl"), options);
  std::string_view partitioner = options.partitioner;
  kafka.read_choice("partitioner", choices(kPartitioners), partitioner);
  options.partitioner = std::string(partitioner);
  std::string_view compression = options.compression;
  kafka.read_choice("compression", choices(kCompressions), compression);
  options.compression = std::string(compression);
  kafka.read_bool("id_header", options.id_header);
  auto in_flight = static_cast<std::int64_t>(options.in_flight_bytes_max);
  kafka.read_integer("in_flight_bytes_max", std::int64_t{64} << 10, std::int64_t{1} << 30, in_flight);
  options.in_flight_bytes_max = static_cast<std::size_t>(in_flight);
  read_properties(kafka, options);
}

void read_sink(const ConfigTable& sink, Config& config) {
  sink.require_choice("type", choices(kSinkTypes), config.sink);
  const ConfigTable kafka = sink.table("kafka");
  if (config.sink == SinkType::kKafka || kafka.exists()) {
    read_kafka(kafka, config.kafka);
    read_delivery(kafka, config);
  }
}

void read_observability(const ConfigTable& observability, Config& config) {
  if (!observability.exists()) {
    return;
  }
  HttpOptions& options = config.observability.emplace();
  if (config.version == ConfigVersion::kV0) {
    options.address = "0.0.0.0";
  }
  assign(observability.text("address", kAddressRule), options.address);
  std::int64_t port = options.port;
  observability.read_integer("port", 1, 65535, port);
  options.port = static_cast<std::uint16_t>(port);
}

void read_pipeline(const ConfigTable& pipeline, PipelineOptions& options) {
  read_milliseconds(pipeline, "drain_timeout_ms", 0, options.drain_timeout);
  read_milliseconds(pipeline, "status_interval_ms", 100, options.status_interval);
  read_milliseconds(pipeline, "shutdown_grace_ms", 0, options.shutdown_grace);
}

void read_tables(const ConfigTable& tables) {
  for (const std::string_view key : {"include", "exclude"}) {
    if (const TomlValue* value = tables.find(key)) {
      tables.report().warning(value->position, tables.full_name(key),
                              "has no effect and never had: the tables are those of the [[streams]]");
    }
  }
}

OperationSet read_operations(const ConfigTable& source) {
  OperationSet operations;
  for (const ConfigText& operation : source.require_texts("operations", kOperationRule, kOperationsMax)) {
    operations.insert |= operation.value == "insert";
    operations.update |= operation.value == "update";
    operations.remove |= operation.value == "delete";
    operations.read |= operation.value == "read";
  }
  return operations;
}

StreamConfig read_stream(const ConfigTable& table) {
  StreamConfig stream;
  assign(table.require_text("name", kStreamNameRule), stream.name);
  const ConfigTable source = table.table("source");
  if (const auto resource = source.require_text("resource", kTableRule)) {
    const std::size_t dot = resource->value.find('.');
    stream.schema = dot == std::string::npos ? "public" : resource->value.substr(0, dot);
    stream.table = dot == std::string::npos ? resource->value : resource->value.substr(dot + 1);
  }
  stream.operations = read_operations(source);
  table.table("flow").require_choice("format", choices(kFormats), stream.format);
  const ConfigTable sink = table.table("sink");
  assign(sink.require_text("destination", kTopicRule), stream.topic);
  stream.routing_key = "id";
  assign(sink.text("routing_key", kColumnRule), stream.routing_key);
  return stream;
}

std::string common_operations(const OperationSet& left, const OperationSet& right) {
  std::vector<std::string_view> names;
  if (left.insert && right.insert) {
    names.emplace_back("insert");
  }
  if (left.update && right.update) {
    names.emplace_back("update");
  }
  if (left.remove && right.remove) {
    names.emplace_back("delete");
  }
  if (left.read && right.read) {
    names.emplace_back("read");
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// Both streams are in the file; the later one is at table.
void compare_streams(const StreamConfig& earlier, const StreamConfig& later, const ConfigTable& table) {
  if (!later.name.empty() && earlier.name == later.name) {
    table.report().fault(table.find("name")->position, table.full_name("name"),
                         fmt::format("must be unique, and {} is the name of an earlier stream", quoted(later.name)));
  }
  const bool is_same_target = earlier.schema == later.schema && earlier.table == later.table && earlier.topic == later.topic;
  const std::string common = common_operations(earlier.operations, later.operations);
  if (is_same_target && !later.table.empty() && !later.topic.empty() && !common.empty()) {
    table.report().warning(table.position(), table.name(),
                           fmt::format("sends the same table to the same topic as stream {}: each {} is sent twice",
                                       quoted(earlier.name), common));
  }
}

std::vector<StreamConfig> read_streams(const ConfigTable& root) {
  const std::vector<ConfigTable> tables = root.tables("streams", kStreamsMax);
  std::vector<StreamConfig> streams;
  for (const ConfigTable& table : tables) {
    streams.push_back(read_stream(table));
    for (std::size_t i = 0; i + 1 < streams.size(); ++i) {
      compare_streams(streams[i], streams.back(), table);
    }
  }
  return streams;
}

Config read_config(const TomlTable& document, ConfigReport& report) {
  const ConfigTable root(document, report);
  Config config;
  ConfigVersion version = ConfigVersion::kV1;
  root.table("metadata").require_choice("version", choices(kVersions), version);
  apply_version(version, config);
  read_source(root.table("source"), config.postgres);
  read_sink(root.table("sink"), config);
  read_pipeline(root.table("pipeline"), config.pipeline);
  read_observability(root.table("observability"), config);
  config.streams = read_streams(root);
  read_state(root.table("state"), config);
  check_snapshot_mode(root, config);
  read_tables(root.table("tables"));
  report_unknown_keys(document, report);
  return config;
}

std::unexpected<Error> could_not_read(const std::string& path, int error) {
  return fail(ErrorCode::kConfig, fmt::format("could not read configuration file {}: {}", quoted(path), std::strerror(error)),
              "Name the file with --config FILE; docs/configuration.md has an example.");
}

Result<std::string> read_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (!file) {
    return could_not_read(path, errno);
  }
  std::string text(kFileBytesMax + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) {
    return could_not_read(path, errno);
  }
  return text;
}

}  // namespace

Result<Config> load_config(const std::string& path) {
  return parse_config(TRY(read_file(path)), path);
}

Result<Config> parse_config(std::string_view text, const std::string& path) {
  if (text.size() > kFileBytesMax) {
    return fail(ErrorCode::kConfig, fmt::format("{}: must be at most {} bytes", path, kFileBytesMax), std::string(kHint));
  }
  const auto document = parse_toml(text);
  if (!document) {
    const TomlSyntaxError& error = document.error();
    return fail(ErrorCode::kConfig,
                fmt::format("{}:{}:{}: {}", path, error.position.line, error.position.column, error.message),
                "The file must be TOML (https://toml.io); docs/configuration.md has an example.");
  }
  ConfigReport report(path, kKeys);
  Config config = read_config(*document, report);
  if (report.has_faults()) {
    return fail(ErrorCode::kConfig, fmt::format("{}", fmt::join(report.faults(), "\n")), std::string(kHint));
  }
  config.warnings = report.warnings();
  return config;
}

std::span<const std::string_view> config_keys() {
  return kKeys;
}

}  // namespace outboxx
