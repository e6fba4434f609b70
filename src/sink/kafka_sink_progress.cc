// KafkaSink's records of progress: at least once a message among others, exactly once the end of a Kafka transaction.
#include <librdkafka/rdkafka.h>

#include <string>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "model/record.h"
#include "sink/kafka_error.h"
#include "sink/kafka_opaque.h"
#include "sink/kafka_sink.h"
#include "sink/sink.h"

namespace outboxx {

// The cap on bytes does not hold for it, nor do the metrics count it: it is what lets the slot go on.
Result<Admission> KafkaSink::produce_progress(const Record& record) {
  if (transactions_ && !TRY(in_transaction())) {
    return Admission::kFull;
  }
  if (state_topic_ == nullptr) {
    state_topic_ = rd_kafka_topic_new(kafka_, state_topic_name_.c_str(), nullptr);
    CHECK(state_topic_ != nullptr);
  }
  const int result = rd_kafka_produce(state_topic_, 0, RD_KAFKA_MSG_F_COPY, const_cast<char*>(record.value.data()),
                                      record.value.size(), record.key.data(), record.key.size(), to_opaque(kProgressUnit));
  if (result != 0) {
    const rd_kafka_resp_err_t error = rd_kafka_last_error();
    if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      return Admission::kFull;
    }
    if (is_after_failure(error)) {
      stop_after_fatal_error();
      return Admission::kFull;  // poll() will say why
    }
    fail_for_good({.code = kafka_error_code(error),
                   .message = std::string("cannot record the position in topic \"") + rd_kafka_topic_name(state_topic_) +
                              "\": " + rd_kafka_err2str(error),
                   .hint = kafka_error_hint(error, rd_kafka_topic_name(state_topic_)),
                   .sqlstate = {}});
    return std::unexpected(*failure_);
  }
  if (transactions_) {
    transactions_->start_commit();
  }
  return Admission::kAccepted;
}

// Whether records may be produced: begins a Kafka transaction if none is open.
Result<bool> KafkaSink::in_transaction() {
  auto ready = transactions_->ready_to_produce();
  if (!ready) {
    fail_for_good(ready.error());
  }
  return ready;
}

void KafkaSink::take_commit() {
  if (!transactions_) {
    return;
  }
  auto ended = transactions_->take_commit();
  if (!ended) {
    return;
  }
  if (*ended) {
    deliveries_.push_back({.unit = kProgressUnit, .count = 1});
  } else {
    fail_for_good(std::move(*ended).error());
  }
}

}  // namespace outboxx
