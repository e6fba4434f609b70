// MockKafka: librdkafka's in-process cluster and a consumer of it, for tests of the sink.
#pragma once

#include <librdkafka/rdkafka.h>
// After rdkafka.h: rdkafka_mock.h wants it so.
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sink/kafka_options.h"

namespace outboxx {

struct ConsumedRecord {
  std::int32_t partition = 0;
  std::string key;
  std::string value;
  std::vector<std::pair<std::string, std::string>> headers;

  friend bool operator==(const ConsumedRecord&, const ConsumedRecord&) = default;
};

class MockKafka {
 public:
  static constexpr std::int16_t kProduce = 0;  // the protocol's API keys
  static constexpr std::int16_t kListOffsets = 2;
  static constexpr std::int16_t kInitProducerId = 22;
  static constexpr std::int16_t kAddPartitionsToTxn = 24;
  static constexpr std::int16_t kEndTxn = 26;

  MockKafka() {
    rd_kafka_conf_t* const conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
    handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, nullptr, 0);
    cluster_ = rd_kafka_mock_cluster_new(handle_, 1);
  }
  ~MockKafka() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(handle_);
  }
  MockKafka(const MockKafka&) = delete;
  MockKafka& operator=(const MockKafka&) = delete;

  [[nodiscard]] std::string brokers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  [[nodiscard]] KafkaOptions options() const {
    KafkaOptions options;
    options.brokers = {brokers()};
    options.tls = false;
    return options;
  }
  void create_topic(const std::string& topic, int partitions) {
    rd_kafka_mock_topic_create(cluster_, topic.c_str(), partitions, 1);
  }
  // The next requests of this kind fail so, one each.
  void fail_requests(std::int16_t api_key, const std::vector<rd_kafka_resp_err_t>& errors) {
    rd_kafka_mock_push_request_errors_array(cluster_, api_key, errors.size(), errors.data());
  }
  // The errors that are left are not given any more.
  void forgive_requests(std::int16_t api_key) { rd_kafka_mock_clear_request_errors(cluster_, api_key); }
  void fail_topic(const std::string& topic, rd_kafka_resp_err_t error) {
    rd_kafka_mock_topic_set_error(cluster_, topic.c_str(), error);
  }
  void answer_after(std::chrono::milliseconds time) {
    rd_kafka_mock_broker_set_rtt(cluster_, -1, static_cast<int>(time.count()));
  }
  void set_down() { rd_kafka_mock_broker_set_down(cluster_, -1); }
  void set_up() { rd_kafka_mock_broker_set_up(cluster_, -1); }

  // All records of the topic, partition by partition, each in the order of its log.
  [[nodiscard]] std::vector<ConsumedRecord> consume(const std::string& topic, int partitions) const {
    std::vector<std::vector<ConsumedRecord>> by_partition(static_cast<std::size_t>(partitions));
    rd_kafka_t* const consumer = make_consumer();
    rd_kafka_topic_partition_list_t* const list = rd_kafka_topic_partition_list_new(partitions);
    for (int partition = 0; partition < partitions; ++partition) {
      rd_kafka_topic_partition_list_add(list, topic.c_str(), partition)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    rd_kafka_assign(consumer, list);
    rd_kafka_topic_partition_list_destroy(list);
    for (int ends_seen = 0; ends_seen < partitions;) {
      rd_kafka_message_t* const message = rd_kafka_consumer_poll(consumer, 10'000);
      if (message == nullptr) {
        break;  // the caller will miss the records
      }
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        by_partition[static_cast<std::size_t>(message->partition)].push_back(to_record(*message));
      } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        ++ends_seen;
      }
      rd_kafka_message_destroy(message);
    }
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    std::vector<ConsumedRecord> all;
    for (auto& records : by_partition) {
      all.insert(all.end(), records.begin(), records.end());
    }
    return all;
  }

 private:
  [[nodiscard]] rd_kafka_t* make_consumer() const {
    rd_kafka_conf_t* const conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers().c_str(), nullptr, 0);
    rd_kafka_conf_set(conf, "group.id", "test", nullptr, 0);
    rd_kafka_conf_set(conf, "enable.partition.eof", "true", nullptr, 0);
    rd_kafka_conf_set(conf, "fetch.wait.max.ms", "10", nullptr, 0);
    return rd_kafka_new(RD_KAFKA_CONSUMER, conf, nullptr, 0);
  }

  [[nodiscard]] static ConsumedRecord to_record(const rd_kafka_message_t& message) {
    ConsumedRecord record{.partition = message.partition,
                          .key = std::string(static_cast<const char*>(message.key), message.key_len),
                          .value = std::string(static_cast<const char*>(message.payload), message.len),
                          .headers = {}};
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* name = nullptr;
      const void* value = nullptr;
      std::size_t size = 0;
      for (std::size_t index = 0; rd_kafka_header_get_all(headers, index, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
           ++index) {
        record.headers.emplace_back(name, std::string(static_cast<const char*>(value), size));
      }
    }
    return record;
  }

  rd_kafka_t* handle_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

}  // namespace outboxx
