#include "sink/kafka_error.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <string>

#include "base/error.h"

namespace outboxx {
namespace {

TEST(KafkaError, RefusedMeansThatAnotherAttemptCannotHelp) {
  for (const rd_kafka_resp_err_t error : {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                                          RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_INVALID_RECORD,
                                          RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE, RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
                                          RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, RD_KAFKA_RESP_ERR__AUTHENTICATION}) {
    EXPECT_EQ(kafka_error_code(error), ErrorCode::kKafkaRefused) << rd_kafka_err2name(error);
  }
}

TEST(KafkaError, FencedByATimeoutIsWorthANewProducer) {
  const Error fenced = after_timeout({.code = ErrorCode::kFenced, .message = "no commit", .hint = "Let only one run."});
  EXPECT_EQ(fenced.code, ErrorCode::kKafkaUnreachable);
  EXPECT_EQ(fenced.message, "the Kafka transaction timed out: no commit");
  EXPECT_EQ(fenced.hint, "");
  EXPECT_EQ(after_timeout({.code = ErrorCode::kKafkaRefused, .message = "no right"}).code, ErrorCode::kKafkaRefused);
}

TEST(KafkaError, EverythingElseIsWorthANewProducer) {
  for (const rd_kafka_resp_err_t error :
       {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR__MSG_TIMED_OUT,
        RD_KAFKA_RESP_ERR__PURGE_QUEUE, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, RD_KAFKA_RESP_ERR_UNKNOWN}) {
    EXPECT_EQ(kafka_error_code(error), ErrorCode::kKafkaUnreachable) << rd_kafka_err2name(error);
  }
}

TEST(KafkaError, KnowsTheErrorsThatOnlyFollow) {
  EXPECT_TRUE(is_consequence(RD_KAFKA_RESP_ERR__PURGE_QUEUE));
  EXPECT_TRUE(is_consequence(RD_KAFKA_RESP_ERR__PURGE_INFLIGHT));
  EXPECT_TRUE(is_consequence(RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE));
  EXPECT_TRUE(is_consequence(RD_KAFKA_RESP_ERR__FATAL));
  EXPECT_FALSE(is_consequence(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE));
  EXPECT_FALSE(is_consequence(RD_KAFKA_RESP_ERR__MSG_TIMED_OUT));
}

TEST(KafkaError, RefusedScramNamesTheLibraryThatIsTooOldForKafka4) {
  const std::string plain_hint = "Check mechanism, user name and password of [sink.kafka.sasl] against the broker's listener.";
  EXPECT_EQ(authentication_hint("SCRAM-SHA-256", 0x020002ff),
            plain_hint +
                " If they are right: librdkafka before 2.6.1 cannot use SCRAM with brokers of Kafka 4.0 or newer, and this one "
                "is " +
                rd_kafka_version_str() + ". Use a newer librdkafka, or mechanism \"PLAIN\" with tls = true.");
  EXPECT_EQ(authentication_hint("SCRAM-SHA-512", 0x020600ff), authentication_hint("SCRAM-SHA-256", 0x020002ff));
  EXPECT_EQ(authentication_hint("SCRAM-SHA-256", 0x020601ff), plain_hint);
  EXPECT_EQ(authentication_hint("PLAIN", 0x020002ff), plain_hint);
}

}  // namespace
}  // namespace outboxx
