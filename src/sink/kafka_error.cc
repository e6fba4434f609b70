#include "sink/kafka_error.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "base/error.h"

namespace outboxx {
namespace {

// librdkafka has some 150 codes and adds more: a list, not a switch. Those not named are worth another attempt.
constexpr auto kRefusals = std::to_array<rd_kafka_resp_err_t>({
    RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
    RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE,
    RD_KAFKA_RESP_ERR_INVALID_RECORD,
    RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
    RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT,
    RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
    RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM,
    RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE,
    RD_KAFKA_RESP_ERR_SECURITY_DISABLED,
    RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
    RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
    RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE,
    RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    RD_KAFKA_RESP_ERR_INVALID_CONFIG,
    RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS,
    RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
    RD_KAFKA_RESP_ERR__AUTHENTICATION,
    RD_KAFKA_RESP_ERR__BAD_COMPRESSION,
    RD_KAFKA_RESP_ERR__INVALID_ARG,
});

constexpr auto kConsequences = std::to_array<rd_kafka_resp_err_t>({
    RD_KAFKA_RESP_ERR__FATAL,
    RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE,
    RD_KAFKA_RESP_ERR__PURGE_QUEUE,
    RD_KAFKA_RESP_ERR__PURGE_INFLIGHT,
});

// Older ones send the nonce twice in SCRAM's last message, and brokers from Kafka 4.0 on compare it: librdkafka pull request
// 4895.
constexpr int kScramMended = 0x02060100;

std::string quoted(std::string_view name) {
  return std::string("\"").append(name).append("\"");
}

}  // namespace

ErrorCode kafka_error_code(rd_kafka_resp_err_t error) {
  if (error == RD_KAFKA_RESP_ERR__FENCED || error == RD_KAFKA_RESP_ERR_PRODUCER_FENCED) {
    return ErrorCode::kFenced;
  }
  return std::ranges::find(kRefusals, error) != kRefusals.end() ? ErrorCode::kKafkaRefused : ErrorCode::kKafkaUnreachable;
}

bool is_consequence(rd_kafka_resp_err_t error) {
  return std::ranges::find(kConsequences, error) != kConsequences.end();
}

std::string kafka_error_hint(rd_kafka_resp_err_t error, std::string_view topic) {
  if (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || error == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE) {
    return "Raise max.message.bytes of topic " + quoted(topic) +
           ", and message.max.bytes in [sink.kafka.properties] if a record is larger than it. If max.message.bytes is below "
           "1000000, a whole batch can be too large: set batch.size in [sink.kafka.properties] to max.message.bytes.";
  }
  if (error == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) {
    return "Allow it: kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:NAME --operation Write "
           "--operation Describe --topic '" +
           std::string(topic) + "'. If the topic is yet to be created by the broker, the user needs Create on it too.";
  }
  if (error == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED) {
    return "Brokers before Kafka 2.8 ask for a right of its own: kafka-acls.sh --bootstrap-server BROKER --add "
           "--allow-principal User:NAME --operation IdempotentWrite --cluster";
  }
  if (error == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP) {
    return "Compare this machine's clock with the brokers': a record must not be dated further ahead than "
           "message.timestamp.after.max.ms of topic " +
           quoted(topic) + ", an hour by default.";
  }
  if (error == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED) {
    return "Allow it: kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:NAME --operation Write "
           "--operation Describe --transactional-id 'ID', where ID is the id of [state].";
  }
  if (error == RD_KAFKA_RESP_ERR__FENCED || error == RD_KAFKA_RESP_ERR_PRODUCER_FENCED) {
    return "Another process of this pipeline took over its Kafka transactions. Let only one run; if it is another pipeline, "
           "give this one an id of its own in [state].";
  }
  if (error == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED || error == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
      error == RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM) {
    return "Check mechanism, user name and password of [sink.kafka.sasl] against the broker's listener.";
  }
  return {};
}

Error after_timeout(Error error) {
  if (error.code != ErrorCode::kFenced) {
    return error;
  }
  return {.code = ErrorCode::kKafkaUnreachable, .message = "the Kafka transaction timed out: " + error.message};
}

std::string authentication_hint(std::string_view mechanism, int version) {
  std::string hint = kafka_error_hint(RD_KAFKA_RESP_ERR__AUTHENTICATION, {});
  if (mechanism.starts_with("SCRAM") && version < kScramMended) {
    hint +=
        std::string(" If they are right: librdkafka before 2.6.1 cannot use SCRAM with brokers of Kafka 4.0 or newer, and ") +
        "this one is " + rd_kafka_version_str() + ". Use a newer librdkafka, or mechanism \"PLAIN\" with tls = true.";
  }
  return hint;
}

}  // namespace outboxx
