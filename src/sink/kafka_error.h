// What an error of the Kafka client means for us: may a new producer succeed, or must the operator act?
#pragma once

#include <librdkafka/rdkafka.h>

#include <string>
#include <string_view>

#include "base/error.h"

namespace outboxx {

// kFenced if another producer with the same transactional.id came; kKafkaRefused for errors that come again however often we
// try (too large, not authorised, not supported), else kKafkaUnreachable. A record that is refused is never skipped, so a wrong
// kKafkaRefused costs a restart by hand, and a wrong kKafkaUnreachable a loop of attempts.
[[nodiscard]] ErrorCode kafka_error_code(rd_kafka_resp_err_t error);

// True for errors that only follow from an earlier one: the producer was stopped, and the rest of its queue with it. The
// first error is the one to report.
[[nodiscard]] bool is_consequence(rd_kafka_resp_err_t error);

// What the operator can do, or nothing. topic may be empty.
[[nodiscard]] std::string kafka_error_hint(rd_kafka_resp_err_t error, std::string_view topic);

// Of one that ends a Kafka transaction that has been open for kTransactionTimeout: the brokers end it and fence its producer,
// as if another one had come. A new producer may succeed.
[[nodiscard]] Error after_timeout(Error error);

// What the operator can do about credentials that a broker refused: mechanism is librdkafka's sasl.mechanisms, version
// rd_kafka_version().
[[nodiscard]] std::string authentication_hint(std::string_view mechanism, int version);

}  // namespace outboxx
