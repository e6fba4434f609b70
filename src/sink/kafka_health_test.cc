#include "sink/kafka_health.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include "base/metrics.h"

namespace outboxx {
namespace {

constexpr const char* kStatsUp = R"({"brokers":{"a:9092/1":{"name":"a:9092/1","nodeid":1,"state":"UP","stateage":7}}})";
constexpr const char* kStatsDown = R"({"brokers":{"a:9092/1":{"name":"a:9092/1","nodeid":1,"state":"DOWN","stateage":7}}})";

TEST(KafkaHealth, IsUnreachableUntilABrokerAnswered) {
  Metrics metrics;
  KafkaHealth health(metrics);
  EXPECT_EQ(metrics.sink_reachable.value(), 0);
  health.on_answer();
  EXPECT_EQ(metrics.sink_reachable.value(), 1);
}

TEST(KafkaHealth, ComesBackByStatisticsWithoutTraffic) {
  Metrics metrics;
  KafkaHealth health(metrics);
  health.on_answer();
  health.on_error(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "1/1 brokers are down");
  EXPECT_EQ(metrics.sink_reachable.value(), 0);
  health.on_stats(kStatsDown);
  EXPECT_EQ(metrics.sink_reachable.value(), 0);
  health.on_stats(kStatsUp);
  EXPECT_EQ(metrics.sink_reachable.value(), 1);
}

TEST(KafkaHealth, OneFailedConnectionIsNotTheCluster) {
  Metrics metrics;
  KafkaHealth health(metrics);
  health.on_answer();
  health.on_error(RD_KAFKA_RESP_ERR__TRANSPORT, "b:9092/2: Connect failed");
  EXPECT_EQ(metrics.sink_reachable.value(), 1);
  EXPECT_EQ(health.last_reason(), "b:9092/2: Connect failed");
  EXPECT_FALSE(health.authentication_failure());
}

TEST(KafkaHealth, ForgetsAnAuthenticationFailureOnceABrokerAnswers) {
  Metrics metrics;
  KafkaHealth health(metrics);
  health.on_error(RD_KAFKA_RESP_ERR__AUTHENTICATION, "SASL authentication error");
  ASSERT_TRUE(health.authentication_failure());
  health.on_answer();
  EXPECT_FALSE(health.authentication_failure());
}

TEST(KafkaHealth, ConnectionThatEndsAmidTheHandshakeIsNoRefusal) {
  Metrics metrics;
  KafkaHealth health(metrics);
  health.on_error(
      RD_KAFKA_RESP_ERR__AUTHENTICATION,
      "sasl_ssl://kafka:9093/bootstrap: SASL PLAIN mechanism handshake failed: Local: Broker transport failure: broker's "
      "supported mechanisms: (n/a) (after 0ms in state DOWN)");
  EXPECT_FALSE(health.authentication_failure());
  health.on_error(
      RD_KAFKA_RESP_ERR__AUTHENTICATION,
      "sasl_ssl://kafka:9093/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's "
      "supported mechanisms: SCRAM-SHA-512");
  EXPECT_TRUE(health.authentication_failure());
}

}  // namespace
}  // namespace outboxx
