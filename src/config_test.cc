#include "config.h"

#include <gtest/gtest.h>
#include <stdlib.h>  // setenv: POSIX, not in cstdlib by the standard

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config_test_fixture.h"
#include "model/stream.h"
#include "postgres/options.h"
#include "sink/kafka_options.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;

using ConfigVersions = ConfigTest;

TEST_F(ConfigVersions, V1HasItsDefaults) {
  ConfigFile text;
  text.kafka += "[observability]\n";
  const Config config = parse(text.str());
  EXPECT_EQ(config.version, ConfigVersion::kV1);
  EXPECT_EQ(config.postgres.conninfo, kConninfo);
  EXPECT_EQ(config.postgres.connection_env, "TEST_DATABASE");
  EXPECT_EQ(config.postgres.slot_name, "s");
  EXPECT_EQ(config.postgres.publication_name, "p");
  EXPECT_EQ(config.postgres.publication_mode, PublicationMode::kCreate);
  EXPECT_TRUE(config.postgres.pin_time_zone);
  EXPECT_FALSE(config.postgres.insecure);
  EXPECT_EQ(config.postgres.connect_timeout, milliseconds(10'000));
  EXPECT_EQ(config.postgres.snapshot.mode, SnapshotMode::kInitial);
  EXPECT_EQ(config.postgres.snapshot.connections, 2);
  EXPECT_EQ(config.postgres.snapshot.chunk_bytes, 8'388'608);
  EXPECT_EQ(config.sink, SinkType::kKafka);
  EXPECT_EQ(config.kafka.brokers, std::vector<std::string>{"b:9092"});
  EXPECT_TRUE(config.kafka.tls);
  EXPECT_EQ(config.kafka.tls_ca_location, "");
  EXPECT_FALSE(config.kafka.sasl);
  EXPECT_EQ(config.kafka.partitioner, "murmur2_random");
  EXPECT_EQ(config.kafka.compression, "lz4");
  EXPECT_TRUE(config.kafka.id_header);
  EXPECT_EQ(config.kafka.in_flight_bytes_max, std::size_t{8} << 20);
  EXPECT_TRUE(config.kafka.properties.empty());
  ASSERT_TRUE(config.observability);
  EXPECT_EQ(config.observability->address, "127.0.0.1");
  EXPECT_EQ(config.observability->port, 9464);
  EXPECT_EQ(config.pipeline.drain_timeout, milliseconds(10'000));
  EXPECT_EQ(config.pipeline.status_interval, milliseconds(10'000));
  EXPECT_EQ(config.pipeline.shutdown_grace, milliseconds(10'000));
  ASSERT_EQ(config.streams.size(), 1U);
  EXPECT_EQ(config.streams[0].schema, "public");
  EXPECT_EQ(config.streams[0].table, "t");
  EXPECT_EQ(config.streams[0].routing_key, "id");
  EXPECT_TRUE(config.warnings.empty());
}

TEST_F(ConfigVersions, V0HasItsDefaults) {
  ConfigFile text;
  text.metadata = "[metadata]\nversion = \"v0\"\n";
  text.kafka += "[observability]\n";
  const Config config = parse(text.str());
  EXPECT_EQ(config.version, ConfigVersion::kV0);
  EXPECT_FALSE(config.postgres.pin_time_zone);
  EXPECT_TRUE(config.postgres.insecure);
  EXPECT_EQ(config.kafka.partitioner, "consistent_random");
  EXPECT_EQ(config.kafka.compression, "none");
  EXPECT_FALSE(config.kafka.id_header);
  ASSERT_TRUE(config.observability);
  EXPECT_EQ(config.observability->address, "0.0.0.0");
  EXPECT_EQ(config.observability->port, 9464);
  EXPECT_TRUE(config.kafka.tls);
}

TEST_F(ConfigVersions, WithoutObservabilityThereIsNoEndpoint) {
  EXPECT_FALSE(parse(ConfigFile().str()).observability);
}

TEST_F(ConfigVersions, V0ExampleIsAccepted) {
  setenv("POSTGRES_CONNECTION", "c", 1);
  setenv("KAFKA_PASSWORD", std::string(kPassword).c_str(), 1);
  const Config config = parse(read_text("../../dist/outboxx-v0.toml"));
  EXPECT_EQ(config.version, ConfigVersion::kV0);
  EXPECT_EQ(config.kafka.tls_ca_location, "/etc/outboxx/ca.crt");
  ASSERT_TRUE(config.kafka.sasl);
  EXPECT_EQ(config.kafka.sasl->mechanism, SaslMechanism::kScramSha512);
  EXPECT_EQ(config.kafka.sasl->username, "outboxx");
  EXPECT_EQ(config.kafka.sasl->password, kPassword);
  ASSERT_EQ(config.streams.size(), 2U);
  EXPECT_EQ(config.streams[1].schema, "audit");
  EXPECT_EQ(config.streams[1].table, "entries");
  EXPECT_EQ(config.warnings,
            (std::vector<std::string>{
                "f:60:11: tables.include: has no effect and never had: the tables are those of the [[streams]]",
                "f:61:11: tables.exclude: has no effect and never had: the tables are those of the [[streams]]"}));
}

TEST_F(ConfigVersions, V1ExampleIsAccepted) {
  setenv("OUTBOXX_DATABASE", "c", 1);
  const Config config = parse(read_text("../../dist/outboxx.toml"));
  EXPECT_EQ(config.version, ConfigVersion::kV1);
  EXPECT_EQ(config.kafka.properties,
            (std::vector<std::pair<std::string, std::string>>{{"client.id", "outboxx"}, {"linger.ms", "5"}}));
  EXPECT_TRUE(config.warnings.empty());
}

TEST_F(ConfigVersions, EveryKeyCanBeSet) {
  const Config config = parse(R"(metadata.version = "v1"
[source]
type = "postgres"
[source.postgres]
connection_env = "TEST_DATABASE"
slot_name = "My_Slot1"
publication_name = "_MY_PUB"
publication = "existing"
pin_time_zone = false
connect_timeout_ms = 100
[source.postgres.snapshot]
mode = "never"
connections = 16
chunk_bytes = 8192
[sink]
type = "stdout"
[sink.kafka]
brokers = ["a:1", "b:2"]
tls = false
tls_ca_location = "/ca"
partitioner = "fnv1a"
compression = "zstd"
id_header = false
in_flight_bytes_max = 65536
[sink.kafka.sasl]
mechanism = "PLAIN"
username = "u"
password_env = "TEST_PASSWORD"
[sink.kafka.properties]
"client.id" = "c"
linger.ms = 0.5
socket.timeout.ms = 5000
"socket.keepalive.enable" = true
[pipeline]
drain_timeout_ms = 0
status_interval_ms = 100
shutdown_grace_ms = 600000
[observability]
address = "::1"
port = 65535
[[streams]]
name = "a-B_1"
[streams.source]
resource = "Sch ema.T-1"
operations = ["delete", "update", "insert", "insert"]
[streams.flow]
format = "json"
[streams.sink]
destination = "A.b_c-1"
routing_key = "k"
[tables]
include = []
exclude = []
)");
  EXPECT_EQ(config.postgres.slot_name, "my_slot1");
  EXPECT_EQ(config.postgres.publication_name, "_my_pub");
  EXPECT_EQ(config.postgres.publication_mode, PublicationMode::kExisting);
  EXPECT_FALSE(config.postgres.pin_time_zone);
  EXPECT_EQ(config.postgres.connect_timeout, milliseconds(100));
  EXPECT_EQ(config.postgres.snapshot.mode, SnapshotMode::kNever);
  EXPECT_EQ(config.postgres.snapshot.connections, 16);
  EXPECT_EQ(config.postgres.snapshot.chunk_bytes, 8192);
  EXPECT_EQ(config.sink, SinkType::kStdout);
  EXPECT_EQ(config.kafka.brokers, (std::vector<std::string>{"a:1", "b:2"}));
  EXPECT_FALSE(config.kafka.tls);
  EXPECT_EQ(config.kafka.tls_ca_location, "/ca");
  EXPECT_EQ(config.kafka.partitioner, "fnv1a");
  EXPECT_EQ(config.kafka.compression, "zstd");
  EXPECT_FALSE(config.kafka.id_header);
  EXPECT_EQ(config.kafka.in_flight_bytes_max, 65536U);
  ASSERT_TRUE(config.kafka.sasl);
  EXPECT_EQ(config.kafka.sasl->mechanism, SaslMechanism::kPlain);
  EXPECT_EQ(config.kafka.sasl->username, "u");
  EXPECT_EQ(config.kafka.sasl->password, kPassword);
  EXPECT_EQ(config.kafka.properties,
            (std::vector<std::pair<std::string, std::string>>{
                {"client.id", "c"}, {"linger.ms", "0.5"}, {"socket.timeout.ms", "5000"}, {"socket.keepalive.enable", "true"}}));
  EXPECT_EQ(config.pipeline.drain_timeout, milliseconds(0));
  EXPECT_EQ(config.pipeline.status_interval, milliseconds(100));
  EXPECT_EQ(config.pipeline.shutdown_grace, milliseconds(600'000));
  ASSERT_TRUE(config.observability);
  EXPECT_EQ(config.observability->address, "::1");
  EXPECT_EQ(config.observability->port, 65535);
  ASSERT_EQ(config.streams.size(), 1U);
  const StreamConfig& stream = config.streams[0];
  EXPECT_EQ(stream.name, "a-B_1");
  EXPECT_EQ(stream.schema, "Sch ema");
  EXPECT_EQ(stream.table, "T-1");
  EXPECT_TRUE(stream.operations.insert && stream.operations.update && stream.operations.remove);
  EXPECT_FALSE(stream.operations.read);
  EXPECT_EQ(stream.topic, "A.b_c-1");
  EXPECT_EQ(stream.routing_key, "k");
  EXPECT_EQ(config.warnings[0], "f:25:1: sink.kafka.sasl: sink.kafka.tls is false: the login crosses the network unencrypted");
}

TEST_F(ConfigVersions, StandardOutputNeedsNoKafka) {
  ConfigFile text;
  text.sink = "[sink]\ntype = \"stdout\"\n";
  text.kafka = "";
  EXPECT_EQ(parse(text.str()).sink, SinkType::kStdout);
}

TEST_F(ConfigVersions, StandardOutputHasNoKafkaTransactions) {
  ConfigFile text;
  text.sink = "[sink]\ntype = \"stdout\"\n";
  text.kafka += "delivery = \"exactly_once\"\n";
  const Config config = parse(text.str());
  EXPECT_EQ(config.kafka.delivery, DeliveryMode::kAtLeastOnce);
  EXPECT_FALSE(config.progress.is_transactional);
  ASSERT_EQ(config.warnings.size(), 1U);
  EXPECT_TRUE(config.warnings[0].ends_with(
      "sink.kafka.delivery: is of no effect: standard output has no transactions, and is at_least_once"));
}

// The documentation is checked against the code, so that neither is changed alone.
TEST(ConfigDocumentation, HasARowForEveryKeyAndNoOther) {
  const std::string text = read_text("../../docs/configuration.md");
  std::set<std::string> documented;
  const std::string start = "\n| `";
  for (std::size_t at = text.find(start); at != std::string::npos; at = text.find(start, at + 1)) {
    const std::size_t begin = at + start.size();
    documented.insert(text.substr(begin, text.find('`', begin) - begin));
  }
  std::set<std::string> known;
  for (const std::string_view key : config_keys()) {
    known.emplace(key);
  }
  EXPECT_EQ(documented, known);
}

TEST_F(ConfigVersions, TheExampleOfTheDocumentationIsAccepted) {
  setenv("OUTBOXX_DATABASE", "c", 1);
  setenv("OUTBOXX_KAFKA_PASSWORD", "c", 1);
  const std::string text = read_text("../../docs/configuration.md");
  const std::string fence = "```toml\n[metadata]";
  const std::size_t begin = text.find(fence) + 8;
  const Config config = parse(text.substr(begin, text.find("```", begin) - begin));
  EXPECT_EQ(config.streams.size(), 2U);
  EXPECT_TRUE(config.warnings.empty());
}

// The codes are read from the header: a list here would not grow with it.
TEST(ExitCodesDocumentation, HasARowForEveryCode) {
  const std::string header = read_text("../../src/base/error.h");
  const std::string text = read_text("../../docs/exit-codes.md");
  const std::regex enumerator(R"(\n  k([A-Za-z]+) = (\d+),)");
  int count = 0;
  for (std::sregex_iterator match(header.begin(), header.end(), enumerator), end; match != end; ++match, ++count) {
    const std::string name = std::regex_replace((*match)[1].str(), std::regex("([a-z])([A-Z])"), "$1_$2");
    std::string row = "\n| " + (*match)[2].str() + " | `" + name + "`";
    std::ranges::transform(row, row.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    EXPECT_NE(text.find(row), std::string::npos) << row;
  }
  EXPECT_GE(count, 11);
}

}  // namespace
}  // namespace outboxx
