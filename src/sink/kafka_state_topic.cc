#include "sink/kafka_state_topic.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/time.h"
#include "base/wait.h"
#include "model/state_record.h"
#include "sink/kafka_config.h"
#include "sink/kafka_error.h"
#include "sink/kafka_offsets.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSlice{1000};
constexpr int kReplicas = 3;

struct MetadataDeleter {
  void operator()(const rd_kafka_metadata_t* metadata) const noexcept { rd_kafka_metadata_destroy(metadata); }
};
struct MessageDeleter {
  void operator()(rd_kafka_message_t* message) const noexcept { rd_kafka_message_destroy(message); }
};
struct TopicDeleter {
  void operator()(rd_kafka_topic_t* topic) const noexcept { rd_kafka_topic_destroy(topic); }
};
struct QueueDeleter {
  void operator()(rd_kafka_queue_t* queue) const noexcept { rd_kafka_queue_destroy(queue); }
};
struct EventDeleter {
  void operator()(rd_kafka_event_t* event) const noexcept { rd_kafka_event_destroy(event); }
};
struct NewTopicDeleter {
  void operator()(rd_kafka_NewTopic_t* topic) const noexcept { rd_kafka_NewTopic_destroy(topic); }
};
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, TopicDeleter>;
using Event = std::unique_ptr<rd_kafka_event_t, EventDeleter>;

int slice(TimePoint deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::clamp(left, milliseconds{1}, kSlice).count());
}

// A stop is an error, as is the deadline.
Result<> check_time(const std::string& topic, rd_kafka_resp_err_t error, TimePoint deadline, StopSignal stop) {
  TRY(wait_for(-1, 0, Clock::now(), stop));
  if (Clock::now() < deadline) {
    return {};
  }
  return fail(ErrorCode::kKafkaUnreachable,
              "could not reach Kafka for the state topic \"" + topic + "\": " + rd_kafka_err2str(error),
              "Check brokers and tls in [sink.kafka].");
}

Error topic_error(const std::string& topic, std::string_view what, rd_kafka_resp_err_t error) {
  std::string hint = kafka_error_hint(error, topic);
  if (kafka_error_code(error) == ErrorCode::kKafkaRefused) {
    hint =
        "The user needs Read, Write and Describe on the topic, and Create if it does not exist: create it with "
        "kafka-topics.sh --bootstrap-server BROKER --create --topic '" +
        topic + "' --partitions 1 --replication-factor 3 --config cleanup.policy=compact, or set mode = \"none\" in [state].";
  }
  return {.code = kafka_error_code(error),
          .message = std::string(what) + " the state topic \"" + topic + "\": " + rd_kafka_err2str(error),
          .hint = std::move(hint),
          .sqlstate = {}};
}

Result<rd_kafka_t*> make_handle(rd_kafka_type_t type, KafkaConf conf) {
  std::array<char, 512> reason{};
  rd_kafka_t* const handle = rd_kafka_new(type, conf.get(), reason.data(), reason.size());
  if (handle == nullptr) {
    return fail(ErrorCode::kConfig, std::string("could not create a Kafka client: ") + reason.data());
  }
  [[maybe_unused]] const rd_kafka_conf_t* const taken = conf.release();
  return handle;
}

std::string_view bytes(const void* data, std::size_t size) {
  return data == nullptr ? std::string_view() : std::string_view(static_cast<const char*>(data), size);
}

}  // namespace

Result<std::unique_ptr<KafkaStateTopic>> KafkaStateTopic::open(const KafkaOptions& options, const std::string& topic,
                                                               TimePoint deadline, StopSignal stop) {
  KafkaOptions own = options;
  own.transactional_id.clear();
  own.creates_topics = false;  // by a look at it: it would not be compacted
  KafkaConf conf = TRY(make_kafka_conf(own));
  // Of a producer it says which end of a partition read() is told: by default that of the committed part.
  rd_kafka_conf_set(conf.get(), "isolation.level", "read_uncommitted", nullptr, 0);
  Handle producer(TRY(make_handle(RD_KAFKA_PRODUCER, std::move(conf))));
  std::unique_ptr<KafkaStateTopic> self(new KafkaStateTopic(std::move(own), topic, std::move(producer)));
  const Metadata metadata = TRY(self->wait_for_metadata(deadline, stop));
  if (!metadata.has_topic) {
    TRY(self->create(metadata.brokers, deadline, stop));
  }
  return self;
}

Result<KafkaStateTopic::Metadata> KafkaStateTopic::wait_for_metadata(TimePoint deadline, StopSignal stop) {
  const TopicHandle topic(rd_kafka_topic_new(producer_.get(), topic_.c_str(), nullptr));
  while (true) {
    const rd_kafka_metadata_t* answer = nullptr;
    const rd_kafka_resp_err_t error = rd_kafka_metadata(producer_.get(), 0, topic.get(), &answer, slice(deadline));
    const std::unique_ptr<const rd_kafka_metadata_t, MetadataDeleter> metadata(answer);
    rd_kafka_resp_err_t topic_state = error;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1) {
      topic_state = metadata->topics[0].err;
      if (topic_state == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return Metadata{.brokers = metadata->broker_cnt, .has_topic = true};
      }
      if (topic_state == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || topic_state == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
        return Metadata{.brokers = metadata->broker_cnt, .has_topic = false};
      }
    }
    if (kafka_error_code(topic_state) == ErrorCode::kKafkaRefused) {
      return std::unexpected(topic_error(topic_, "cannot use", topic_state));
    }
    TRY(check_time(topic_, topic_state, deadline, stop));
    TRY(wait_for(-1, 0, std::min(deadline, Clock::now() + milliseconds{50}), stop));
  }
}

Result<> KafkaStateTopic::create(int brokers, TimePoint deadline, StopSignal stop) {
  const int replicas = std::min(kReplicas, brokers);
  std::array<char, 512> reason{};
  const std::unique_ptr<rd_kafka_NewTopic_t, NewTopicDeleter> wanted(
      rd_kafka_NewTopic_new(topic_.c_str(), 1, replicas, reason.data(), reason.size()));
  if (!wanted) {
    return fail(ErrorCode::kConfig, "cannot create the state topic \"" + topic_ + "\": " + reason.data());
  }
  rd_kafka_NewTopic_set_config(wanted.get(), "cleanup.policy", "compact");
  const std::unique_ptr<rd_kafka_queue_t, QueueDeleter> queue(rd_kafka_queue_new(producer_.get()));
  std::array<rd_kafka_NewTopic_t*, 1> topics{wanted.get()};
  rd_kafka_CreateTopics(producer_.get(), topics.data(), topics.size(), nullptr, queue.get());
  Event event;
  while (!event) {
    event.reset(rd_kafka_queue_poll(queue.get(), slice(deadline)));
    if (!event) {
      TRY(check_time(topic_, RD_KAFKA_RESP_ERR__TIMED_OUT, deadline, stop));
    }
  }
  rd_kafka_resp_err_t error = rd_kafka_event_error(event.get());
  if (const auto* result = rd_kafka_event_CreateTopics_result(event.get()); result != nullptr && error == 0) {
    std::size_t count = 0;
    const rd_kafka_topic_result_t** const each = rd_kafka_CreateTopics_result_topics(result, &count);
    error = count == 1 ? rd_kafka_topic_result_error(each[0]) : error;
  }
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR && error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
    return std::unexpected(topic_error(topic_, "could not create", error));
  }
  log::info("created the state topic", {{"topic", topic_}, {"replicas", replicas}});
  if (replicas < kReplicas) {
    log::warn("the state topic has fewer than three replicas: if its broker is lost, so is the state record",
              {{"topic", topic_}, {"replicas", replicas}});
  }
  return {};
}

// The end is the log's own, not that of its committed part: what we committed may stand behind an open transaction of another
// pipeline, and is visible only when that has ended.
Result<StateHistory> KafkaStateTopic::read(const std::string& pipeline, TimePoint deadline, StopSignal stop) {
  KafkaConf conf = TRY(make_kafka_conf(options_));
  rd_kafka_conf_set_events(conf.get(), 0);
  for (const auto& [name, value] :
       {std::pair{"isolation.level", "read_committed"}, {"enable.partition.eof", "true"}, {"fetch.wait.max.ms", "20"}}) {
    rd_kafka_conf_set(conf.get(), name, value, nullptr, 0);
  }
  const Handle consumer(TRY(make_handle(RD_KAFKA_CONSUMER, std::move(conf))));
  std::int64_t end = -1;
  while (end < 0) {
    const auto ends = query_ends(producer_.get(), topic_, 1, milliseconds{slice(deadline)});
    if (ends) {
      end = ends->front();
      break;
    }
    if (kafka_error_code(ends.error()) == ErrorCode::kKafkaRefused) {
      return std::unexpected(topic_error(topic_, "cannot read", ends.error()));
    }
    TRY(check_time(topic_, ends.error(), deadline, stop));
    TRY(wait_for(-1, 0, std::min(deadline, Clock::now() + milliseconds{50}), stop));
  }
  StateHistory history(pipeline);
  const TopicHandle topic(rd_kafka_topic_new(consumer.get(), topic_.c_str(), nullptr));
  // A consumer that does not know the leader when it starts looks again after 500 ms. Whatever goes wrong here shows below.
  const rd_kafka_metadata_t* leaders = nullptr;
  rd_kafka_metadata(consumer.get(), 0, topic.get(), &leaders, slice(deadline));
  const std::unique_ptr<const rd_kafka_metadata_t, MetadataDeleter> owner(leaders);
  rd_kafka_consume_start(topic.get(), 0, RD_KAFKA_OFFSET_BEGINNING);
  Result<> taken;
  bool is_readable = false;  // an empty topic must show it too: or a missing right is found only when it matters
  for (std::int64_t position = 0; taken && (!is_readable || position < end);) {
    const std::unique_ptr<rd_kafka_message_t, MessageDeleter> message(rd_kafka_consume(topic.get(), 0, slice(deadline)));
    if (!message) {
      taken = check_time(topic_, RD_KAFKA_RESP_ERR__TIMED_OUT, deadline, stop);
    } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      is_readable = true;
      position = message->offset + 1;
      taken = history.take(bytes(message->key, message->key_len), bytes(message->payload, message->len));
    } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      is_readable = true;
      position = message->offset;
    } else if (kafka_error_code(message->err) == ErrorCode::kKafkaRefused) {
      taken = std::unexpected(topic_error(topic_, "cannot read", message->err));
    } else {
      taken = check_time(topic_, message->err, deadline, stop);
    }
  }
  rd_kafka_consume_stop(topic.get(), 0);
  TRY(std::move(taken));
  return history;
}

Result<> KafkaStateTopic::write(const std::string& key, const std::optional<std::string>& value, TimePoint deadline,
                                StopSignal stop) {
  const TopicHandle topic(rd_kafka_topic_new(producer_.get(), topic_.c_str(), nullptr));
  void* const payload = value ? const_cast<char*>(value->data()) : nullptr;
  if (rd_kafka_produce(topic.get(), 0, RD_KAFKA_MSG_F_COPY, payload, value ? value->size() : 0, key.data(), key.size(),
                       nullptr) != 0) {
    return std::unexpected(topic_error(topic_, "could not write to", rd_kafka_last_error()));
  }
  const std::unique_ptr<rd_kafka_queue_t, QueueDeleter> queue(rd_kafka_queue_get_main(producer_.get()));
  while (true) {
    const Event event(rd_kafka_queue_poll(queue.get(), slice(deadline)));
    if (event && rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_DR) {
      const rd_kafka_message_t* const message = rd_kafka_event_message_next(event.get());
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return {};
      }
      return std::unexpected(topic_error(topic_, "could not write to", message->err));
    }
    TRY(check_time(topic_, RD_KAFKA_RESP_ERR__TIMED_OUT, deadline, stop));
  }
}

}  // namespace outboxx
