// KafkaSink: delivers records with librdkafka's idempotent producer; in exactly-once mode in Kafka transactions.
#pragma once

#include <librdkafka/rdkafka.h>
#include <poll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "base/wait.h"
#include "model/record.h"
#include "sink/kafka_health.h"
#include "sink/kafka_options.h"
#include "sink/kafka_transactions.h"
#include "sink/sink.h"

namespace outboxx {

class KafkaSink final : public Sink {
 public:
  // topics[record.stream] is where a record goes; a topic may stand there more than once. metrics outlives the sink. Starts
  // librdkafka's threads, connects to nothing yet. kConfig.
  [[nodiscard]] static Result<std::unique_ptr<KafkaSink>> create(const KafkaOptions& options,
                                                                 std::span<const std::string> topics, Metrics& metrics);
  ~KafkaSink() override;
  KafkaSink(const KafkaSink&) = delete;
  KafkaSink& operator=(const KafkaSink&) = delete;

  // Blocks for up to a second at a time before it looks at stop.
  [[nodiscard]] Result<> open(TimePoint deadline, StopSignal stop) override;
  // Topics that did not exist when open() last asked.
  [[nodiscard]] const std::vector<std::string>& missing_topics() const { return missing_topics_; }
  [[nodiscard]] pollfd poll_fd() const override;
  [[nodiscard]] Result<Admission> produce(const Record& record, UnitId unit) override;
  [[nodiscard]] std::chrono::milliseconds linger() const override { return linger_; }
  [[nodiscard]] Result<> flush() override;
  [[nodiscard]] Result<std::span<const Delivery>> poll() override;
  void abandon() noexcept override;

 private:
  struct EventDeleter {
    void operator()(rd_kafka_event_t* event) const noexcept { rd_kafka_event_destroy(event); }
  };

  KafkaSink(const KafkaOptions& options, Metrics& metrics);
  [[nodiscard]] Result<> start(const KafkaOptions& options, std::span<const std::string> topics);

  // open(), in kafka_sink_open.cc. From worst to best.
  enum class Readiness : std::uint8_t { kNoBroker, kTopicMissing, kTopicNotReady, kReady };
  [[nodiscard]] Result<Readiness> ask_for_topics(TimePoint deadline);
  [[nodiscard]] Result<Readiness> judge_topics(const rd_kafka_metadata_t& metadata, std::chrono::milliseconds patience);
  [[nodiscard]] rd_kafka_resp_err_t ask_partitions(const rd_kafka_metadata_topic_t& topic, std::chrono::milliseconds patience);
  [[nodiscard]] static Result<Readiness> judge_topic(const char* topic, rd_kafka_resp_err_t error);
  [[nodiscard]] Error not_ready(Readiness readiness) const;

  [[nodiscard]] rd_kafka_resp_err_t enqueue(rd_kafka_topic_t* topic, const Record& record, UnitId unit);
  [[nodiscard]] Result<Admission> not_accepted(rd_kafka_resp_err_t error, const Record& record);
  // kProgressStream, in kafka_sink_progress.cc.
  [[nodiscard]] Result<Admission> produce_progress(const Record& record);
  [[nodiscard]] Result<bool> in_transaction();
  void take_commit();

  void handle_events();
  void handle_event(rd_kafka_event_t* event);
  void handle_deliveries(rd_kafka_event_t* event);
  void handle_error(rd_kafka_event_t* event);
  void renew_credentials();
  void handle_failed_delivery(const rd_kafka_message_t& message);
  void stop_after_fatal_error();
  void purge();
  void fail_with_cause();
  [[nodiscard]] bool is_after_failure(rd_kafka_resp_err_t error) const;
  void fail_for_good(Error error);
  void update_gauges();

  std::string brokers_;  // as configured, for messages
  std::optional<SaslOptions> sasl_;
  std::string state_topic_name_;
  bool id_header_;
  bool creates_topics_;
  std::size_t record_overhead_;  // charged per record beside key and value
  std::size_t in_flight_bytes_max_;
  std::chrono::milliseconds linger_{};  // rounded up
  Metrics& metrics_;
  KafkaHealth health_;
  UniqueFd wakeup_;                                // an eventfd: librdkafka writes when the queue becomes non-empty
  rd_kafka_t* kafka_ = nullptr;                    // null after abandon()
  rd_kafka_queue_t* queue_ = nullptr;              // the main queue: delivery reports, errors, statistics, logs
  std::vector<rd_kafka_topic_t*> topics_;          // by stream
  rd_kafka_topic_t* state_topic_ = nullptr;        // from the first progress on: until then a look at it could create it
  std::optional<KafkaTransactions> transactions_;  // exactly once
  std::size_t in_flight_bytes_ = 0;                // with the overhead
  std::size_t in_flight_records_ = 0;
  std::vector<Delivery> deliveries_;
  std::string id_text_;  // reused
  TimePoint next_purge_;
  bool has_fatal_error_ = false;  // and its cause may still come with a delivery report
  std::optional<Error> failure_;
  std::vector<std::string> missing_topics_;
  std::set<std::string> new_topics_;  // open(): were not there at first
  std::string no_broker_reason_;
  std::string pending_topic_;  // open(): what it waits for
  std::string pending_reason_;
};

}  // namespace outboxx
