#include "sink/kafka_health.h"

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/time.h"

namespace outboxx {
namespace {

constexpr std::chrono::minutes kRepeatAfter{5};

constexpr int kSyslogWarning = 4;
constexpr int kSyslogInfo = 6;

log::Level log_level(int syslog_level, std::string_view facility, std::string_view text) {
  // These come as error events too; there they are counted, classified and not repeated.
  if (facility == "FAIL" || facility == "ERROR" || facility == "FATAL") {
    return log::Level::kDebug;
  }
  // librdkafka calls it experimental at each start. Not for us: what it promises is tested, and wanted.
  if (facility == "CONFWARN" && text.contains("enable.gapless.guarantee")) {
    return log::Level::kDebug;
  }
  // Never kError: the producer goes on by itself, and when it cannot, poll() says so.
  if (syslog_level <= kSyslogWarning) {
    return log::Level::kWarn;
  }
  return syslog_level <= kSyslogInfo ? log::Level::kInfo : log::Level::kDebug;
}

// librdkafka's code for a failed authentication is also that of a connection which ended before the broker had answered.
bool is_refusal(rd_kafka_resp_err_t error, std::string_view reason) {
  return error == RD_KAFKA_RESP_ERR__AUTHENTICATION && !reason.contains("handshake failed: Local: ");
}

}  // namespace

void KafkaHealth::on_error(rd_kafka_resp_err_t error, std::string_view reason) {
  if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    set_unreachable();
    return;
  }
  last_reason_ = reason;
  const bool is_refused = is_refusal(error, reason);
  if (is_refused) {
    authentication_failure_ = reason;
  }
  const log::Level level = is_refused && was_reachable_ ? log::Level::kError : log::Level::kWarn;
  log::write(is_repeated(error) ? log::Level::kDebug : level, "Kafka connection failed",
             {{"error", rd_kafka_err2name(error)}, {"reason", reason}});
}

void KafkaHealth::on_log(int level, std::string_view facility, std::string_view text) {
  log::write(log_level(level, facility, text), "Kafka client", {{"facility", facility}, {"text", text}});
}

void KafkaHealth::on_stats(std::string_view json) {
  if (!reachable_ && json.contains(R"("state":"UP")")) {
    set_reachable();
  }
}

void KafkaHealth::set_reachable() {
  reachable_ = true;
  metrics_.sink_reachable.set(1);
  log::info(was_reachable_ ? "Kafka is reachable again" : "connected to Kafka");
  was_reachable_ = true;
  logged_error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  authentication_failure_.reset();
}

void KafkaHealth::set_unreachable() {
  metrics_.sink_reachable.set(0);
  if (reachable_) {
    log::warn("no Kafka broker is reachable, trying again", {{"reason", last_reason_}});
  }
  reachable_ = false;
}

bool KafkaHealth::is_repeated(rd_kafka_resp_err_t error) {
  const TimePoint now = Clock::now();
  if (error == logged_error_ && now - logged_at_ < kRepeatAfter) {
    return true;
  }
  logged_error_ = error;
  logged_at_ = now;
  return false;
}

}  // namespace outboxx
