#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "config.h"
#include "config_test_fixture.h"

namespace outboxx {
namespace {

using ConfigProperties = ConfigTest;
using ConfigSecrets = ConfigTest;

TEST_F(ConfigProperties, RefusedOnesSayWhy) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"sasl.kerberos.kinit.cmd", "cannot be set: it makes librdkafka run or load code"},
      {"sasl.kerberos.principal", "cannot be set: it makes librdkafka run or load code"},
      {"plugin.library.paths", "cannot be set: it makes librdkafka run or load code"},
      {"ssl.engine.location", "cannot be set: it makes librdkafka run or load code"},
      {"ssl.engine.id", "cannot be set: it makes librdkafka run or load code"},
      {"ssl_engine_callback_data", "cannot be set: it makes librdkafka run or load code"},
      {"ssl.providers", "cannot be set: it makes librdkafka run or load code"},
      {"interceptors", "cannot be set: it makes librdkafka run or load code"},
      {"acks", "cannot be set: delivery needs the acknowledgement of all in-sync replicas"},
      {"request.required.acks", "cannot be set: delivery needs the acknowledgement of all in-sync replicas"},
      {"topic.topic.acks", "cannot be set: delivery needs the acknowledgement of all in-sync replicas"},
      {"enable.idempotence", "cannot be set: delivery needs the idempotent producer"},
      {"enable.gapless.guarantee", "cannot be set: delivery needs the idempotent producer"},
      {"api.version.request", "cannot be set: delivery needs the idempotent producer"},
      {"message.timeout.ms", "cannot be set: a record must be retried until it is delivered"},
      {"delivery.timeout.ms", "cannot be set: a record must be retried until it is delivered"},
      {"retries", "cannot be set: a record must be retried until it is delivered"},
      {"message.send.max.retries", "cannot be set: a record must be retried until it is delivered"},
      {"max.in.flight", "cannot be set: it could change the order of records"},
      {"max.in.flight.requests.per.connection", "cannot be set: it could change the order of records"},
      {"queuing.strategy", "cannot be set: it could change the order of records"},
      {"msg_order_cmp", "cannot be set: it could change the order of records"},
      {"transactional.id", "cannot be set: use sink.kafka.delivery and state.id"},
      {"delivery.report.only.error", "cannot be set: delivery needs a report for every record"},
      {"topic.blacklist", "cannot be set: records for a hidden topic could not be delivered"},
      {"queue.buffering.max.messages", "cannot be set: use sink.kafka.in_flight_bytes_max"},
      {"queue.buffering.max.kbytes", "cannot be set: use sink.kafka.in_flight_bytes_max"},
      {"bootstrap.servers", "cannot be set: use sink.kafka.brokers"},
      {"metadata.broker.list", "cannot be set: use sink.kafka.brokers"},
      {"security.protocol", "cannot be set: use sink.kafka.tls and the table [sink.kafka.sasl]"},
      {"sasl.mechanism", "cannot be set: use the table [sink.kafka.sasl]"},
      {"sasl.mechanisms", "cannot be set: use the table [sink.kafka.sasl]"},
      {"sasl.username", "cannot be set: use the table [sink.kafka.sasl]"},
      {"sasl.password", "cannot be set: use the table [sink.kafka.sasl]"},
      {"sasl.oauthbearer.config", "cannot be set: use the table [sink.kafka.sasl]"},
      {"enable.sasl.oauthbearer.unsecure.jwt", "cannot be set: use the table [sink.kafka.sasl]"},
      {"ssl.ca.location", "cannot be set: use sink.kafka.tls_ca_location"},
      {"partitioner", "cannot be set: use sink.kafka.partitioner"},
      {"compression.codec", "cannot be set: use sink.kafka.compression"},
      {"compression.type", "cannot be set: use sink.kafka.compression"},
      {"log.queue", "cannot be set: outboxx sets it itself"},
      {"enabled_events", "cannot be set: outboxx sets it itself"},
      {"statistics.interval.ms", "cannot be set: outboxx sets it itself"},
      {"dr_msg_cb", "cannot be set: outboxx sets it itself"},
      {"ssl_key", "cannot be set: outboxx sets it itself"},
      {"enable.ssl.certificate.verification",
       "must be true: the broker's certificate is always verified; use sink.kafka.tls_ca_location for a private authority"},
      {"ssl.endpoint.identification.algorithm", "must be \"https\": the broker's certificate must name the broker's host"},
      {"acks ", "is not the name of a librdkafka property: lower-case letters, digits, dots and underscores"},
      {"ACKS", "is not the name of a librdkafka property: lower-case letters, digits, dots and underscores"},
  };
  for (const auto& [name, reason] : cases) {
    EXPECT_EQ(message_with_kafka(fmt::format("[sink.kafka.properties]\n\"{}\" = \"xyzzy\"", name)),
              fmt::format("f:14:1: sink.kafka.properties.{}: {}", name, reason));
  }
}

TEST_F(ConfigProperties, NamesWithoutQuotesAreRefusedTheSameWay) {
  EXPECT_EQ(message_with_kafka("properties.sasl.kerberos.kinit.cmd = \"xyzzy\""),
            "f:13:32: sink.kafka.properties.sasl.kerberos.kinit.cmd: cannot be set: it makes librdkafka run or load code");
  EXPECT_EQ(message_with_kafka("[sink.kafka.properties]\nlinger.ms = 1\n\"linger.ms\" = 2"),
            "f:15:1: sink.kafka.properties.linger.ms: is set twice, with quotes and without");
}

TEST_F(ConfigProperties, NoSpellingSwitchesVerificationOff) {
  for (const std::string value : {"\"none\"", "\" none\"", "\"NONE\"", "false", "\"\""}) {
    EXPECT_NE(message_with_kafka("[sink.kafka.properties]\n\"ssl.endpoint.identification.algorithm\" = " + value), "");
    EXPECT_NE(message_with_kafka("[sink.kafka.properties]\n\"enable.ssl.certificate.verification\" = " + value), "");
  }
  ConfigFile text;
  text.kafka +=
      "properties = { \"enable.ssl.certificate.verification\" = true, \"ssl.endpoint.identification.algorithm\" = "
      "\"https\", \"queue.buffering.max.ms\" = 5, \"message.max.bytes\" = 2000000 }\n";
  EXPECT_EQ(parse(text.str()).kafka.properties.size(), 4U);
}

TEST_F(ConfigProperties, WhatLibrdkafkaRefusesIsSaidWithItsPlace) {
  EXPECT_EQ(message_with_kafka("[sink.kafka.properties]\n\"no.such\" = \"xyzzy\""),
            "f:14:1: sink.kafka.properties.no.such: the Kafka client has no such property");
  EXPECT_EQ(message_with_kafka("[sink.kafka.properties]\n\"linger.ms\" = -4"),
            "f:14:1: sink.kafka.properties.linger.ms: Configuration property \"queue.buffering.max.ms\" value -4 is outside "
            "allowed range 0..900000");
}

TEST_F(ConfigProperties, OtherTypesAreRefused) {
  EXPECT_EQ(message_with_kafka("[sink.kafka.properties]\ndebug = [\"xyzzy\"]"),
            "f:14:9: sink.kafka.properties.debug: must be a string, an integer, a float or a boolean");
  EXPECT_EQ(message_with_kafka("[sink.kafka.properties]\ndebug = \"xyzzy\\u0000\""),
            "f:14:1: sink.kafka.properties.debug: must be a value without NUL characters");
  EXPECT_EQ(message_with_kafka("properties = 1"), "f:13:14: sink.kafka.properties: must be a table, not an integer");
}

TEST_F(ConfigSecrets, VariablesMustBeSetAndNotEmpty) {
  EXPECT_EQ(message_instead_of("TEST_DATABASE", "TEST_ABSENT"),
            "f:6:18: source.postgres.connection_env: environment variable \"TEST_ABSENT\" is not set");
  EXPECT_EQ(message_instead_of("TEST_DATABASE", "TEST_EMPTY"),
            "f:6:18: source.postgres.connection_env: environment variable \"TEST_EMPTY\" is empty");
  EXPECT_EQ(message_with_kafka("[sink.kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword_env = \"TEST_ABSENT\""),
            "f:16:16: sink.kafka.sasl.password_env: environment variable \"TEST_ABSENT\" is not set");
}

TEST_F(ConfigSecrets, FilesMustBeReadableAndAreNotShown) {
  EXPECT_EQ(message_instead_of("connection_env = \"TEST_DATABASE\"", "connection_file = \"/nowhere/xyzzy\""),
            "f:6:19: source.postgres.connection_file: could not read the file: No such file or directory");
  EXPECT_EQ(message_instead_of("connection_env = \"TEST_DATABASE\"",
                               "connection_env = \"TEST_DATABASE\"\nconnection_file = \"/nowhere/xyzzy\""),
            "f:7:19: source.postgres.connection_file: cannot be used together with connection_env");
  EXPECT_EQ(message_with_kafka("[sink.kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword_file = \"/dev/null\""),
            "f:16:17: sink.kafka.sasl.password_file: could not read the file: it is not a regular file");
}

// message_of() fails if a message holds "xyzzy".
TEST_F(ConfigSecrets, ASecretInPlaceOfItsVariablesNameIsNotShown) {
  const std::string key = "f:6:18: source.postgres.connection_env: ";
  EXPECT_EQ(message_instead_of("TEST_DATABASE", "postgresql://u:xyzzy@db/x"), key + "environment variable is not set");
  EXPECT_EQ(message_instead_of("TEST_DATABASE", "host=db password=xyzzy"),
            key + "must be the name (1 to 63 bytes, no \"=\") of an environment variable");
  EXPECT_EQ(message_with_kafka("[sink.kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword_env = \"xyzzy\""),
            "f:16:16: sink.kafka.sasl.password_env: environment variable is not set");
}

TEST_F(ConfigSecrets, NoWarningHoldsOne) {
  ConfigFile text;
  text.kafka += "tls = false\n[sink.kafka.sasl]\nmechanism = \"PLAIN\"\nusername = \"u\"\npassword_env = \"TEST_PASSWORD\"\n";
  const Config config = parse(text.str());
  EXPECT_EQ(config.warnings, std::vector<std::string>{"f:14:1: sink.kafka.sasl: sink.kafka.tls is false: the login crosses the "
                                                      "network unencrypted"});
}

TEST_F(ConfigSecrets, ASyntaxErrorDoesNotQuoteTheValue) {
  const auto config = parse_config("password = 12345678901234567890123\n", "f");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message.find("123456"), std::string::npos) << config.error().message;
  EXPECT_NE(config.error().message.find("the value is not representable in 64 bits"), std::string::npos)
      << config.error().message;
}

}  // namespace
}  // namespace outboxx
