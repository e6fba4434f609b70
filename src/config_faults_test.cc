#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"
#include "config.h"
#include "config_test_fixture.h"

namespace outboxx {
namespace {

using ConfigFaults = ConfigTest;
using ConfigStreams = ConfigTest;

TEST_F(ConfigFaults, AnEmptyFileLacksEveryRequiredKey) {
  EXPECT_EQ(message_of(""), R"(f:1:1: metadata.version: missing; must be "v0" or "v1"
f:1:1: source.type: missing; must be "postgres"
f:1:1: source.postgres.connection_env: missing; must be the name (1 to 63 bytes, no "=") of an environment variable
f:1:1: source.postgres.slot_name: missing; must be 1 to 63 letters, digits and underscores, the first no digit
f:1:1: source.postgres.publication_name: missing; must be 1 to 63 letters, digits and underscores, the first no digit
f:1:1: sink.type: missing; must be "kafka" or "stdout"
f:1:1: sink.kafka.brokers: missing; must be an array of 1 to 50 strings
f:1:1: streams: missing; must be 1 to 100 tables, each headed [[streams]])");
}

TEST_F(ConfigFaults, AllAreReportedAtOnceInTheOrderOfTheFile) {
  EXPECT_EQ(replace_all(message_of(read_text("config/faulty.toml")), "f:", ""),
            R"(1:12: metadata: must be a table, not an integer
2:10: source: must be a table, not a string
6:1: sink.kafka.brokerss: unknown key; did you mean "brokers"?
7:12: sink.kafka.brokers[0]: must be a string of 1 to 253 bytes, "host:port", not an integer
7:15: sink.kafka.brokers[1]: must be a string of 1 to 253 bytes, "host:port", not an empty string
8:23: sink.kafka.in_flight_bytes_max: must be an integer from 65536 to 1073741824, not 1
10:1: sink.kafka.properties.acks: cannot be set: delivery needs the acknowledgement of all in-sync replicas
12:1: sink.kafka.properties.topic.acks: cannot be set: delivery needs the acknowledgement of all in-sync replicas
13:8: sink.kafka.properties.when: must be a string, an integer, a float or a boolean
15:11: observability.address: must be an IP address, not "localhost"
16:8: observability.port: must be an integer from 1 to 65535, not 0
17:1: streams[0].flow.format: missing; must be "json"
17:1: streams[0].sink.destination: missing; must be a topic name: 1 to 249 letters, digits, dots, underscores and hyphens
18:8: streams[0].name: must be 1 to 63 letters, digits, underscores and hyphens, the first a letter or underscore, not "1"
20:12: streams[0].source.resource: must be "table" or "schema.table", each name 1 to 63 bytes, not "a.b.c"
21:23: streams[0].source.operations[1]: must be "insert", "update", "delete" or "read", not "truncate"
22:1: streams[1].name: missing; must be 1 to 63 letters, digits, underscores and hyphens, the first a letter or underscore
22:1: streams[1].source.resource: missing; must be "table" or "schema.table", each name 1 to 63 bytes
22:1: streams[1].source.operations: missing; must be an array of 1 to 10 strings
22:1: streams[1].flow.format: missing; must be "json"
22:1: streams[1].sink.destination: missing; must be a topic name: 1 to 249 letters, digits, dots, underscores and hyphens
23:1: streams[1].a\u0000b: unknown key; known here: name, source, flow, sink)");
}

TEST_F(ConfigFaults, TheHintNamesTheDocumentation) {
  EXPECT_EQ(parse_config("", "f").error().hint, "Every key is described in docs/configuration.md.");
}

TEST_F(ConfigFaults, AMissingKeyIsReportedAtItsTable) {
  EXPECT_EQ(message_instead_of("slot_name = \"s\"\n", ""),
            "f:5:1: source.postgres.slot_name: missing; must be 1 to 63 letters, digits and underscores, the first no digit");
}

TEST_F(ConfigFaults, AnUnknownKeySuggestsTheNearestOneOrTheRightTable) {
  EXPECT_EQ(message_with_kafka("tlss = true"), "f:13:1: sink.kafka.tlss: unknown key; did you mean \"tls\"?");
  EXPECT_EQ(message_with_kafka("slot_name = 1"),
            "f:13:1: sink.kafka.slot_name: unknown key; did you mean \"source.postgres.slot_name\"?");
  EXPECT_EQ(message_with_kafka("zzzzzzzz = 1"),
            "f:13:1: sink.kafka.zzzzzzzz: unknown key; known here: brokers, tls, tls_ca_location, sasl, partitioner, "
            "compression, id_header, in_flight_bytes_max, delivery, transaction, properties");
  EXPECT_EQ(message_with_kafka("[sinks]\na = 1"), "f:13:2: sinks: unknown key; did you mean \"sink\"?");
  EXPECT_EQ(message_with_kafka("[sink.kafka.\"sasl.mechanism\"]"),
            "f:13:13: sink.kafka.sasl.mechanism: unknown key; known here: brokers, tls, tls_ca_location, sasl, partitioner, "
            "compression, id_header, in_flight_bytes_max, delivery, transaction, properties");
}

TEST_F(ConfigFaults, ChoicesNameWhatIsAllowed) {
  EXPECT_EQ(message_instead_of("\"v1\"", "\"v2\""), "f:2:11: metadata.version: must be \"v0\" or \"v1\", not \"v2\"");
  EXPECT_EQ(message_instead_of("\"v1\"", "1"), "f:2:11: metadata.version: must be \"v0\" or \"v1\", not an integer");
  EXPECT_EQ(message_instead_of("\"postgres\"", "\"mysql\""), "f:4:8: source.type: must be \"postgres\", not \"mysql\"");
  EXPECT_EQ(message_instead_of("\"kafka\"", "\"webhook\""),
            "f:10:8: sink.type: must be \"kafka\" or \"stdout\", not \"webhook\"");
  EXPECT_EQ(message_instead_of("\"json\"", "\"avro\""), "f:19:10: streams[0].flow.format: must be \"json\", not \"avro\"");
  EXPECT_EQ(message_with_postgres("publication = \"none\""),
            "f:9:15: source.postgres.publication: must be \"create\" or \"existing\", not \"none\"");
  EXPECT_EQ(message_with_kafka("partitioner = \"murmur\""),
            "f:13:15: sink.kafka.partitioner: must be \"random\", \"consistent\", \"consistent_random\", \"murmur2\", "
            "\"murmur2_random\", \"fnv1a\" or \"fnv1a_random\", not \"murmur\"");
  EXPECT_EQ(message_with_kafka("compression = \"LZ4\""),
            "f:13:15: sink.kafka.compression: must be \"none\", \"gzip\", \"snappy\", \"lz4\" or \"zstd\", not \"LZ4\"");
  EXPECT_EQ(message_with_kafka("[sink.kafka.sasl]\nmechanism = \"GSSAPI\"\nusername = \"u\"\npassword_env = \"TEST_PASSWORD\""),
            "f:14:13: sink.kafka.sasl.mechanism: must be \"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\", not \"GSSAPI\"");
}

TEST_F(ConfigFaults, NumbersAndBooleansHaveTheirRanges) {
  EXPECT_EQ(message_with_postgres("connect_timeout_ms = 99"),
            "f:9:22: source.postgres.connect_timeout_ms: must be an integer from 100 to 600000, not 99");
  EXPECT_EQ(message_with_postgres("pin_time_zone = \"yes\""),
            "f:9:17: source.postgres.pin_time_zone: must be true or false, not a string");
  EXPECT_EQ(message_with_kafka("tls = 1"), "f:13:7: sink.kafka.tls: must be true or false, not an integer");
  EXPECT_EQ(message_with_kafka("in_flight_bytes_max = 1073741825"),
            "f:13:23: sink.kafka.in_flight_bytes_max: must be an integer from 65536 to 1073741824, not 1073741825");
  EXPECT_EQ(message_with_kafka("in_flight_bytes_max = 1e6"),
            "f:13:23: sink.kafka.in_flight_bytes_max: must be an integer from 65536 to 1073741824, not a float");
  EXPECT_EQ(message_with_kafka("[observability]\nport = 65536"),
            "f:14:8: observability.port: must be an integer from 1 to 65535, not 65536");
  EXPECT_EQ(message_with_kafka("[pipeline]\ndrain_timeout_ms = -1\nstatus_interval_ms = 99\nshutdown_grace_ms = 600001"),
            "f:14:20: pipeline.drain_timeout_ms: must be an integer from 0 to 600000, not -1\n"
            "f:15:22: pipeline.status_interval_ms: must be an integer from 100 to 600000, not 99\n"
            "f:16:21: pipeline.shutdown_grace_ms: must be an integer from 0 to 600000, not 600001");
}

TEST_F(ConfigFaults, IdentifiersHaveTheirLengthAndCharacters) {
  const std::string rule = "must be 1 to 63 letters, digits and underscores, the first no digit";
  const std::string slot = "f:7:13: source.postgres.slot_name: " + rule;
  EXPECT_EQ(message_instead_of("\"s\"", "\"1s\""), slot + ", not \"1s\"");
  EXPECT_EQ(message_instead_of("\"s\"", "\"a-b\""), slot + ", not \"a-b\"");
  EXPECT_EQ(message_instead_of("\"s\"", "\"\""), slot + ", not an empty string");
  EXPECT_EQ(message_instead_of("\"s\"", "\"" + std::string(64, 'a') + "\""), slot + ", not a string of 64 bytes");
  EXPECT_EQ(message_instead_of("\"p\"", "true"), "f:8:20: source.postgres.publication_name: " + rule + ", not a boolean");
  EXPECT_EQ(parse(replace_all(ConfigFile().str(), "\"s\"", "\"" + std::string(63, 'A') + "\"")).postgres.slot_name,
            std::string(63, 'a'));
}

TEST_F(ConfigFaults, BrokersHaveTheirCountAndLength) {
  const auto brokers = [](std::size_t count, std::size_t length) {
    std::string list;
    for (std::size_t i = 0; i < count; ++i) {
      list += "\"" + std::string(length, 'b') + "\", ";
    }
    return "brokers = [" + list + "]";
  };
  const std::string old_line = "brokers = [\"b:9092\"]";
  EXPECT_EQ(message_instead_of(old_line, "brokers = []"),
            "f:12:11: sink.kafka.brokers: must be an array of 1 to 50 strings, not 0");
  EXPECT_EQ(message_instead_of(old_line, brokers(51, 1)),
            "f:12:11: sink.kafka.brokers: must be an array of 1 to 50 strings, not 51");
  EXPECT_EQ(message_instead_of(old_line, "brokers = \"b:9092\""),
            "f:12:11: sink.kafka.brokers: must be an array of 1 to 50 strings, not a string");
  EXPECT_EQ(message_instead_of(old_line, brokers(1, 254)),
            "f:12:12: sink.kafka.brokers[0]: must be a string of 1 to 253 bytes, \"host:port\", not a string of 254 bytes");
  EXPECT_EQ(parse(replace_all(ConfigFile().str(), old_line, brokers(50, 253))).kafka.brokers.size(), 50U);
}

TEST_F(ConfigFaults, OtherTextsHaveTheirLength) {
  EXPECT_EQ(message_with_kafka("tls_ca_location = \"" + std::string(2049, 'x') + "\""),
            "f:13:19: sink.kafka.tls_ca_location: must be the path of a file, 1 to 2048 bytes, not a string of 2049 bytes");
  EXPECT_EQ(message_with_kafka("tls_ca_location = \"a\\nb\""),
            "f:13:19: sink.kafka.tls_ca_location: must be the path of a file, 1 to 2048 bytes without control characters");
  EXPECT_EQ(message_with_kafka("[sink.kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"" + std::string(254, 'u') +
                               "\"\npassword_env = \"\""),
            "f:15:12: sink.kafka.sasl.username: must be a string of 1 to 253 bytes, not a string of 254 bytes\n"
            "f:16:16: sink.kafka.sasl.password_env: must be the name (1 to 63 bytes, no \"=\") of an environment variable, "
            "not an empty string");
  EXPECT_EQ(
      message_with_kafka("[sink.kafka.sasl]"),
      "f:13:1: sink.kafka.sasl.mechanism: missing; must be \"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\"\n"
      "f:13:1: sink.kafka.sasl.username: missing; must be a string of 1 to 253 bytes\n"
      "f:13:1: sink.kafka.sasl.password_env: missing; must be the name (1 to 63 bytes, no \"=\") of an environment variable");
}

TEST_F(ConfigFaults, NamesOfTheDatabaseMayHoldAnythingButNul) {
  const auto with_table = [](const std::string& name) {
    return replace_all(ConfigFile().str(), "resource = \"t\"", "resource = \"" + name + "\"");
  };
  EXPECT_EQ(parse(with_table("new\\nline.a\\u0001b")).streams[0].schema, "new\nline");
  EXPECT_EQ(message_of(with_table("a\\u0000b")),
            "f:16:12: streams[0].source.resource: must be \"table\" or \"schema.table\", each name 1 to 63 bytes without NUL "
            "characters");
}

TEST_F(ConfigFaults, KafkaIsCheckedForStandardOutputToo) {
  ConfigFile text;
  text.sink = "[sink]\ntype = \"stdout\"\n";
  text.kafka = "[sink.kafka]\n";
  EXPECT_EQ(message_of(text.str()), "f:11:1: sink.kafka.brokers: missing; must be an array of 1 to 50 strings");
}

TEST_F(ConfigFaults, ASyntaxErrorHasItsPosition) {
  const auto config = parse_config("[metadata]\nversion = v1\n", "f");
  ASSERT_FALSE(config);
  EXPECT_TRUE(config.error().message.starts_with("f:2:1")) << config.error().message;
  EXPECT_EQ(config.error().hint, "The file must be TOML (https://toml.io); docs/configuration.md has an example.");
}

TEST_F(ConfigFaults, ExcessiveLinesAreRefusedBeforeTheyAreParsed) {
  std::string dots;
  for (int i = 0; i < 5000; ++i) {
    dots += "a.";
  }
  EXPECT_EQ(message_of("\n" + dots + "a = 1\n"), "f:2:1: line has more than 100 dots outside of quotes");
  EXPECT_EQ(message_of("#" + std::string(16384, 'x')), "f:1:1: line is longer than 16384 bytes");
  EXPECT_EQ(message_of(std::string(1024 * 1024 + 1, '\n')), "f: must be at most 1048576 bytes");
}

TEST_F(ConfigFaults, AFileThatCannotBeReadSaysWhy) {
  const auto missing = load_config("/nonexistent/outboxx.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kConfig);
  EXPECT_EQ(missing.error().message,
            "could not read configuration file \"/nonexistent/outboxx.toml\": No such file or directory");
  EXPECT_EQ(missing.error().hint, "Name the file with --config FILE; docs/configuration.md has an example.");
  EXPECT_EQ(load_config("/").error().message, "could not read configuration file \"/\": Is a directory");
}

TEST_F(ConfigStreams, TablesHaveOneDotAtMost) {
  const std::string rule =
      "f:16:12: streams[0].source.resource: must be \"table\" or \"schema.table\", each name 1 to 63 bytes";
  EXPECT_EQ(message_instead_of("\"t\"", "\"a.b.c\""), rule + ", not \"a.b.c\"");
  EXPECT_EQ(message_instead_of("\"t\"", "\"a.\""), rule + ", not \"a.\"");
  EXPECT_EQ(message_instead_of("\"t\"", "\".a\""), rule + ", not \".a\"");
  EXPECT_EQ(message_instead_of("\"t\"", "\"\""), rule + ", not an empty string");
  const std::string longest(63, 'x');
  EXPECT_EQ(parse(replace_all(ConfigFile().str(), "\"t\"", "\"" + longest + "." + longest + "\"")).streams[0].table, longest);
  EXPECT_EQ(message_instead_of("\"t\"", "\"" + longest + "x\""), rule + ", not \"" + longest + "x\"");
}

TEST_F(ConfigStreams, OperationsHaveTheirCountAndNames) {
  const std::string key = "streams[0].source.operations";
  EXPECT_EQ(message_instead_of("[\"insert\"]", "[]"), "f:17:14: " + key + ": must be an array of 1 to 10 strings, not 0");
  EXPECT_EQ(message_instead_of(
                "[\"insert\"]",
                R"(["insert","insert","insert","insert","insert","insert","insert","insert","insert","insert","insert"])"),
            "f:17:14: " + key + ": must be an array of 1 to 10 strings, not 11");
  EXPECT_EQ(message_instead_of("[\"insert\"]", "[\"INSERT\"]"),
            "f:17:15: " + key + "[0]: must be \"insert\", \"update\", \"delete\" or \"read\", not \"INSERT\"");
}

TEST_F(ConfigStreams, SnapshotAloneNeedsSomethingToRead) {
  EXPECT_EQ(message_of(ConfigFile().str() + "[source.postgres.snapshot]\nmode = \"only\"\n"),
            "f:23:8: source.postgres.snapshot.mode: \"only\" has nothing to do: no stream's operations have \"read\"");
}

TEST_F(ConfigStreams, SnapshotAloneKeepsNoRecordToBeExactWith) {
  const std::string text = replace_all(replace_all(ConfigFile().str(), "[\"insert\"]", "[\"insert\", \"read\"]"),
                                       "[sink.kafka]\n", "[sink.kafka]\ndelivery = \"exactly_once\"\n");
  EXPECT_EQ(message_of(text + "[source.postgres.snapshot]\nmode = \"only\"\n"),
            "f:24:8: source.postgres.snapshot.mode: \"only\" keeps no record of how far it came, so sink.kafka.delivery cannot "
            "be \"exactly_once\"");
}

TEST_F(ConfigStreams, TopicsAndColumnsHaveTheirLengthAndCharacters) {
  const std::string rule =
      "f:21:15: streams[0].sink.destination: must be a topic name: 1 to 249 letters, digits, dots, underscores and hyphens";
  EXPECT_EQ(message_instead_of("\"topic\"", "\"a b\""), rule + ", not \"a b\"");
  EXPECT_EQ(message_instead_of("\"topic\"", "\"..\""), rule + ", not \"..\"");
  EXPECT_EQ(message_instead_of("\"topic\"", "\"" + std::string(250, 'a') + "\""), rule + ", not a string of 250 bytes");
  EXPECT_EQ(parse(replace_all(ConfigFile().str(), "\"topic\"", "\"" + std::string(249, 'a') + "\"")).streams[0].topic.size(),
            249U);
  EXPECT_EQ(message_of(ConfigFile().str() + "routing_key = \"" + std::string(64, 'k') + "\"\n"),
            "f:22:15: streams[0].sink.routing_key: must be a column name of 1 to 63 bytes, not a string of 64 bytes");
  EXPECT_EQ(message_of(ConfigFile().str() + "routing_key = \"\"\n"),
            "f:22:15: streams[0].sink.routing_key: must be a column name of 1 to 63 bytes, not an empty string");
}

TEST_F(ConfigStreams, NamesHaveTheirCharactersAndAreUnique) {
  const std::string rule =
      "f:14:8: streams[0].name: must be 1 to 63 letters, digits, underscores and hyphens, the first a letter or underscore";
  EXPECT_EQ(message_instead_of("name = \"a\"", "name = \"-a\""), rule + ", not \"-a\"");
  EXPECT_EQ(message_instead_of("name = \"a\"", "name = \"a.b\""), rule + ", not \"a.b\"");
  const ConfigFile text;
  EXPECT_EQ(message_of(text.str() + replace_all(text.streams, "\"topic\"", "\"other\"")),
            "f:23:8: streams[1].name: must be unique, and \"a\" is the name of an earlier stream");
}

TEST_F(ConfigStreams, ThereAreOneToAHundred) {
  const auto text_with = [](int count) {
    ConfigFile text;
    const std::string one = text.streams;
    text.streams = "";
    for (int i = 0; i < count; ++i) {
      const std::string number = std::to_string(i);
      text.streams += replace_all(replace_all(one, "\"a\"", "\"a" + number + "\""), "\"topic\"", "\"t" + number + "\"");
    }
    return text.str();
  };
  EXPECT_EQ(parse(text_with(100)).streams.size(), 100U);
  EXPECT_EQ(message_of(text_with(101)), "f:13:1: streams: must be 1 to 100 tables, each headed [[streams]], not 101");
  ConfigFile text;
  text.streams = "";
  EXPECT_EQ(message_of("streams = []\n" + text.str()),
            "f:1:11: streams: must be 1 to 100 tables, each headed [[streams]], not 0");
  EXPECT_EQ(message_of("streams = 1\n" + text.str()),
            "f:1:11: streams: must be 1 to 100 tables, each headed [[streams]], not an integer");
  EXPECT_EQ(message_of("streams = [1]\n" + text.str()), "f:1:12: streams[0]: must be a table, not an integer");
}

TEST_F(ConfigStreams, SendingAChangeTwiceToOneTopicIsWarnedOf) {
  const ConfigFile text;
  const std::string again = replace_all(text.streams, "name = \"a\"", "name = \"b\"");
  EXPECT_EQ(parse(text.str() + replace_all(again, "\"t\"", "\"public.t\"")).warnings,
            std::vector<std::string>{
                "f:22:1: streams[1]: sends the same table to the same topic as stream \"a\": each insert is sent twice"});
  EXPECT_TRUE(parse(text.str() + replace_all(again, "\"t\"", "\"u\"")).warnings.empty());
  EXPECT_TRUE(parse(text.str() + replace_all(again, "\"topic\"", "\"other\"")).warnings.empty());
  EXPECT_TRUE(parse(text.str() + replace_all(again, "[\"insert\"]", "[\"update\"]")).warnings.empty());
}

}  // namespace
}  // namespace outboxx
