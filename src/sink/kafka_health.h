// KafkaHealth: what librdkafka says of its brokers, made into one state, few log lines and a metric.
#pragma once

#include <librdkafka/rdkafka.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "base/time.h"

namespace outboxx {

// Used by the sink's thread. librdkafka retries by itself, so that nothing here stops the producer.
class KafkaHealth {
 public:
  explicit KafkaHealth(Metrics& metrics) : metrics_(metrics) {}

  // RD_KAFKA_EVENT_ERROR that is not fatal. A warning when the state changes or the kind of error does, and again after
  // five minutes: a lasting failure repeats with every attempt to connect.
  void on_error(rd_kafka_resp_err_t error, std::string_view reason);

  // RD_KAFKA_EVENT_LOG; level is syslog's.
  void on_log(int level, std::string_view facility, std::string_view text);

  // RD_KAFKA_EVENT_STATS: how we learn that a broker is back while there is nothing to send.
  void on_stats(std::string_view json);

  // A broker has answered.
  void on_answer() {
    if (!reachable_) [[unlikely]] {
      set_reachable();
    }
  }

  // The most telling reason why no broker answers, or empty.
  [[nodiscard]] const std::string& last_reason() const { return last_reason_; }
  // Why a broker refused our credentials, if one did.
  [[nodiscard]] const std::optional<std::string>& authentication_failure() const { return authentication_failure_; }

 private:
  void set_reachable();
  void set_unreachable();
  [[nodiscard]] bool is_repeated(rd_kafka_resp_err_t error);

  Metrics& metrics_;
  bool reachable_ = false;
  bool was_reachable_ = false;
  rd_kafka_resp_err_t logged_error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  TimePoint logged_at_;
  std::string last_reason_;
  std::optional<std::string> authentication_failure_;
};

}  // namespace outboxx
