// KafkaSink::open(): waits until a broker answers and has all topics.
#include <librdkafka/rdkafka.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "sink/kafka_config.h"
#include "sink/kafka_error.h"
#include "sink/kafka_offsets.h"
#include "sink/kafka_sink.h"

namespace outboxx {
namespace {

// rd_kafka_metadata() cannot be interrupted: the stop is looked at between its slices.
constexpr std::chrono::milliseconds kSlice{1000};
constexpr std::chrono::milliseconds kPause{100};
// A broker that creates topics by itself needs a moment to; one that has not by then will not.
constexpr std::chrono::seconds kMissingTopicWait{5};

std::string unreachable_hint(std::string_view reason) {
  if (reason.contains("certificate verify failed")) {  // OpenSSL's words
    return "Set tls_ca_location in [sink.kafka] to a file with the certificate of the authority that signed the broker's, and "
           "check that the broker's certificate names the host in brokers and has not expired.";
  }
  return "Check brokers in [sink.kafka], and that tls in [sink.kafka] is what the listener expects: TLS against a plaintext "
         "port, and the reverse, also look like this.";
}

struct MetadataDeleter {
  void operator()(const rd_kafka_metadata_t* metadata) const noexcept { rd_kafka_metadata_destroy(metadata); }
};

}  // namespace

Result<> KafkaSink::open(TimePoint deadline, StopSignal stop) {
  std::optional<TimePoint> missing_since;
  Readiness readiness = Readiness::kNoBroker;
  while (true) {
    const Readiness answer = TRY(ask_for_topics(deadline));
    if (answer == Readiness::kReady || (answer == Readiness::kTopicMissing && !creates_topics_)) {
      health_.on_answer();
      return transactions_ ? transactions_->init(deadline, stop) : Result<>{};
    }
    // What was learnt stays the reason, even if the last request was cut short by the deadline.
    if (answer != Readiness::kNoBroker) {
      readiness = answer;
    }
    const TimePoint now = Clock::now();
    if (readiness == Readiness::kTopicMissing && !missing_since) {
      missing_since = now;
    }
    const bool gives_up_topic = readiness == Readiness::kTopicMissing && now - *missing_since >= kMissingTopicWait;
    if (now >= deadline || gives_up_topic) {
      return std::unexpected(not_ready(readiness));
    }
    TRY(wait_for(-1, 0, std::min(deadline, now + kPause), stop));
  }
}

// One request for all topics of this producer. If creates_topics_, it makes a broker that does such things create the missing.
Result<KafkaSink::Readiness> KafkaSink::ask_for_topics(TimePoint deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  const auto slice = std::clamp(left, std::chrono::milliseconds(1), kSlice);
  const rd_kafka_metadata_t* response = nullptr;
  const rd_kafka_resp_err_t error = rd_kafka_metadata(kafka_, 0, nullptr, &response, static_cast<int>(slice.count()));
  const std::unique_ptr<const rd_kafka_metadata_t, MetadataDeleter> metadata(response);
  handle_events();  // the reasons come as events
  if (failure_) {
    return std::unexpected(*failure_);
  }
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (health_.authentication_failure()) {
      return fail(ErrorCode::kKafkaRefused, "Kafka refused the credentials: " + *health_.authentication_failure(),
                  authentication_hint(kafka_property(kafka_, "sasl.mechanisms"), rd_kafka_version()));
    }
    no_broker_reason_ = health_.last_reason().empty() ? rd_kafka_err2str(error) : health_.last_reason();
    return Readiness::kNoBroker;
  }
  return judge_topics(*metadata, slice);
}

Result<KafkaSink::Readiness> KafkaSink::judge_topics(const rd_kafka_metadata_t& metadata, std::chrono::milliseconds patience) {
  missing_topics_.clear();
  Readiness all = Readiness::kReady;
  for (int index = 0; index < metadata.topic_cnt; ++index) {
    const rd_kafka_metadata_topic_t& topic = metadata.topics[index];
    Readiness one = TRY(judge_topic(topic.topic, topic.err));
    rd_kafka_resp_err_t error = topic.err;
    if (one == Readiness::kTopicMissing) {
      missing_topics_.emplace_back(topic.topic);
    }
    if (one != Readiness::kReady) {
      new_topics_.insert(topic.topic);
    } else if (new_topics_.contains(topic.topic)) {
      error = ask_partitions(topic, patience);
      one = error == RD_KAFKA_RESP_ERR_NO_ERROR ? Readiness::kReady : Readiness::kTopicNotReady;
    }
    if (one < all) {
      all = one;
      pending_topic_ = topic.topic;
      pending_reason_ = rd_kafka_err2str(error);
    }
  }
  return all;
}

// Whether the leaders of a topic that was just created have its partitions: the metadata name them before. A leader that
// refuses the first record and takes the second breaks their order (see is_acknowledged() in kafka_sink.cc).
rd_kafka_resp_err_t KafkaSink::ask_partitions(const rd_kafka_metadata_topic_t& topic, std::chrono::milliseconds patience) {
  const auto ends = query_ends(kafka_, topic.topic, topic.partition_cnt, patience);
  return ends ? RD_KAFKA_RESP_ERR_NO_ERROR : ends.error();
}

Result<KafkaSink::Readiness> KafkaSink::judge_topic(const char* topic, rd_kafka_resp_err_t error) {
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
    return Readiness::kReady;
  }
  if (kafka_error_code(error) == ErrorCode::kKafkaRefused) {
    return fail(ErrorCode::kKafkaRefused, std::string("cannot write to topic \"") + topic + "\": " + rd_kafka_err2str(error),
                kafka_error_hint(error, topic));
  }
  const bool missing = error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
  return missing ? Readiness::kTopicMissing : Readiness::kTopicNotReady;
}

Error KafkaSink::not_ready(Readiness readiness) const {
  switch (readiness) {
    case Readiness::kNoBroker:
      return {.code = ErrorCode::kKafkaUnreachable,
              .message = "could not reach any Kafka broker of \"" + brokers_ + "\": " + no_broker_reason_,
              .hint = unreachable_hint(no_broker_reason_),
              .sqlstate = {}};
    case Readiness::kTopicMissing:
      return {.code = ErrorCode::kKafkaRefused,
              .message = "topic \"" + pending_topic_ + "\" does not exist and the broker does not create it",
              .hint =
                  "Create it, with the partitions it is to keep: kafka-topics.sh --bootstrap-server BROKER --create "
                  "--topic '" +
                  pending_topic_ + "' --partitions 6 --replication-factor 3",
              .sqlstate = {}};
    case Readiness::kTopicNotReady:
    case Readiness::kReady:
      break;
  }
  return {.code = ErrorCode::kKafkaUnreachable,
          .message = "could not use topic \"" + pending_topic_ + "\": " + pending_reason_,
          .hint = {},
          .sqlstate = {}};
}

}  // namespace outboxx
