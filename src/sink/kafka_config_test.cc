#include "sink/kafka_config.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"
#include "sink/kafka_options.h"

namespace outboxx {
namespace {

constexpr const char* kCanary = "hunter2-canary";

KafkaOptions some_options() {
  KafkaOptions options;
  options.brokers = {"a:9092", "b:9092"};
  return options;
}

std::string value_of(const KafkaConf& conf, const char* name) {
  std::array<char, 256> value{};
  std::size_t size = value.size();
  EXPECT_EQ(rd_kafka_conf_get(conf.get(), name, value.data(), &size), RD_KAFKA_CONF_OK) << name;
  return value.data();
}

Error error_for(const std::string& name, const std::string& value) {
  KafkaOptions options = some_options();
  options.properties = {{name, value}};
  const auto conf = make_kafka_conf(options);
  EXPECT_FALSE(conf) << name;
  return conf ? Error{} : conf.error();
}

TEST(KafkaConfig, SetsWhatDeliveryDependsOn) {
  const auto conf = make_kafka_conf(some_options());
  ASSERT_TRUE(conf);
  EXPECT_EQ(value_of(*conf, "bootstrap.servers"), "a:9092,b:9092");
  EXPECT_EQ(value_of(*conf, "acks"), "-1");
  EXPECT_EQ(value_of(*conf, "enable.idempotence"), "true");
  EXPECT_EQ(value_of(*conf, "enable.gapless.guarantee"), "true");
  EXPECT_EQ(value_of(*conf, "message.timeout.ms"), "0");
  EXPECT_EQ(value_of(*conf, "partitioner"), "murmur2_random");
  EXPECT_EQ(value_of(*conf, "compression.codec"), "lz4");
  EXPECT_EQ(value_of(*conf, "batch.size"), "1000000");
  EXPECT_EQ(value_of(*conf, "linger.ms"), "3");
  EXPECT_EQ(value_of(*conf, "socket.timeout.ms"), "25000");
  EXPECT_EQ(value_of(*conf, "request.timeout.ms"), "20000");
  EXPECT_EQ(value_of(*conf, "security.protocol"), "ssl");
}

TEST(KafkaConfig, LetsNoCheckCreateTopicsWhateverTheUserSets) {
  KafkaOptions options = some_options();
  options.properties = {{"allow.auto.create.topics", "true"}};
  EXPECT_EQ(value_of(*make_kafka_conf(options), "allow.auto.create.topics"), "true");
  options.creates_topics = false;
  EXPECT_EQ(value_of(*make_kafka_conf(options), "allow.auto.create.topics"), "false");
}

TEST(KafkaConfig, ChoosesTheSecurityProtocol) {
  KafkaOptions options = some_options();
  options.tls = false;
  EXPECT_EQ(value_of(*make_kafka_conf(options), "security.protocol"), "plaintext");
  options.sasl = SaslOptions{.mechanism = SaslMechanism::kScramSha512, .username = "u", .password = kCanary};
  const auto conf = make_kafka_conf(options);
  EXPECT_EQ(value_of(*conf, "security.protocol"), "sasl_plaintext");
  EXPECT_EQ(value_of(*conf, "sasl.mechanisms"), "SCRAM-SHA-512");
  EXPECT_EQ(value_of(*conf, "sasl.username"), "u");
  EXPECT_EQ(value_of(*conf, "sasl.password"), kCanary);
  options.tls = true;
  options.tls_ca_location = "/dev/null";
  EXPECT_EQ(value_of(*make_kafka_conf(options), "security.protocol"), "sasl_ssl");
  EXPECT_EQ(value_of(*make_kafka_conf(options), "ssl.ca.location"), "/dev/null");
}

TEST(KafkaConfig, NamesAFileOfAuthoritiesThatCannotBeRead) {
  KafkaOptions options = some_options();
  options.tls_ca_location = "/nowhere/ca.pem";
  const auto conf = make_kafka_conf(options);
  ASSERT_FALSE(conf);
  EXPECT_EQ(conf.error().code, ErrorCode::kConfig);
  EXPECT_EQ(conf.error().message, "sink.kafka.tls_ca_location: could not read \"/nowhere/ca.pem\": No such file or directory");
}

TEST(KafkaConfig, UserPropertiesComeLast) {
  KafkaOptions options = some_options();
  options.properties = {{"linger.ms", "50"}, {"message.max.bytes", "2000000"}};
  const auto conf = make_kafka_conf(options);
  ASSERT_TRUE(conf);
  EXPECT_EQ(value_of(*conf, "linger.ms"), "50");
  EXPECT_EQ(value_of(*conf, "message.max.bytes"), "2000000");
}

TEST(KafkaConfig, NamesAnUnknownOrBadProperty) {
  EXPECT_EQ(error_for("linger", "5").message, "sink.kafka.properties.linger: the Kafka client has no such property");
  EXPECT_EQ(error_for("linger.ms", "-4").message,
            "sink.kafka.properties.linger.ms: Configuration property \"queue.buffering.max.ms\" value -4 is outside allowed "
            "range 0..900000");
  EXPECT_EQ(error_for("linger", "5").code, ErrorCode::kConfig);
}

TEST(KafkaConfig, NamesTheKeyOfABadOption) {
  KafkaOptions options = some_options();
  options.partitioner = "round_robin";
  const auto conf = make_kafka_conf(options);
  ASSERT_FALSE(conf);
  EXPECT_EQ(conf.error().code, ErrorCode::kConfig);
  EXPECT_EQ(conf.error().message.find("sink.kafka.partitioner: "), 0U) << conf.error().message;
}

TEST(KafkaConfig, RefusesPropertiesThatBreakAPromiseOrRunCode) {
  const std::vector<std::string> names = {"acks",
                                          "request.required.acks",
                                          "enable.idempotence",
                                          "enable.gapless.guarantee",
                                          "message.timeout.ms",
                                          "partitioner",
                                          "delivery.timeout.ms",
                                          "bootstrap.servers",
                                          "metadata.broker.list",
                                          "transactional.id",
                                          "ssl.providers",
                                          "plugin.library.paths",
                                          "sasl.kerberos.kinit.cmd",
                                          "ssl.engine.location",
                                          "queuing.strategy",
                                          "enabled_events",
                                          "log.queue",
                                          "delivery.report.only.error"};
  for (const std::string& name : names) {
    const Error error = error_for(name, "1");
    EXPECT_EQ(error.code, ErrorCode::kConfig);
    EXPECT_EQ(error.message.find("sink.kafka.properties." + name + ": cannot be set: "), 0U) << error.message;
  }
}

TEST(KafkaConfig, DoesNotEchoSecrets) {
  for (const char* const name : {"sasl.jaas.config", "ssl.key.pem.x", "sasl.oauthbearer.method", "ssl.keystore.password.x"}) {
    const Error error = error_for(name, kCanary);
    EXPECT_EQ(error.message.find(kCanary), std::string::npos) << error.message;
  }
}

}  // namespace
}  // namespace outboxx
