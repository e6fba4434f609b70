#include "sink/kafka_properties.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace outboxx {
namespace {

struct Refusal {
  std::string_view name;  // the whole name, or its beginning if it ends in "*"
  std::string_view reason;
};

constexpr std::string_view kRunsCode = "cannot be set: it makes librdkafka run or load code";
constexpr std::string_view kAcks = "cannot be set: delivery needs the acknowledgement of all in-sync replicas";
constexpr std::string_view kIdempotence = "cannot be set: delivery needs the idempotent producer";
constexpr std::string_view kTimeout = "cannot be set: a record must be retried until it is delivered";
constexpr std::string_view kOrder = "cannot be set: it could change the order of records";
constexpr std::string_view kQueue = "cannot be set: use sink.kafka.in_flight_bytes_max";
constexpr std::string_view kBrokers = "cannot be set: use sink.kafka.brokers";
constexpr std::string_view kSasl = "cannot be set: use the table [sink.kafka.sasl]";
constexpr std::string_view kCompression = "cannot be set: use sink.kafka.compression";
constexpr std::string_view kOwned = "cannot be set: outboxx sets it itself";

// Names and aliases from librdkafka's CONFIGURATION.md.
constexpr auto kRefusals = std::to_array<Refusal>({
    // The Kerberos properties are pasted into a shell command (kinit).
    {.name = "sasl.kerberos.*", .reason = kRunsCode},
    {.name = "plugin.library.paths", .reason = kRunsCode},
    {.name = "ssl.engine.*", .reason = kRunsCode},
    {.name = "ssl_engine_callback_data", .reason = kRunsCode},
    {.name = "ssl.providers", .reason = kRunsCode},
    {.name = "interceptors", .reason = kRunsCode},

    {.name = "acks", .reason = kAcks},
    {.name = "request.required.acks", .reason = kAcks},
    {.name = "enable.idempotence", .reason = kIdempotence},
    {.name = "enable.gapless.guarantee", .reason = kIdempotence},
    {.name = "api.version.request", .reason = kIdempotence},
    {.name = "message.timeout.ms", .reason = kTimeout},
    {.name = "delivery.timeout.ms", .reason = kTimeout},
    {.name = "retries", .reason = kTimeout},
    {.name = "message.send.max.retries", .reason = kTimeout},
    {.name = "max.in.flight*", .reason = kOrder},
    {.name = "queuing.strategy", .reason = kOrder},
    {.name = "msg_order_cmp", .reason = kOrder},
    {.name = "transactional.id", .reason = "cannot be set: use sink.kafka.delivery and state.id"},
    {.name = "transaction.timeout.ms", .reason = "cannot be set: use sink.kafka.delivery"},
    {.name = "delivery.report.only.error", .reason = "cannot be set: delivery needs a report for every record"},
    {.name = "topic.blacklist", .reason = "cannot be set: records for a hidden topic could not be delivered"},
    {.name = "blacklist", .reason = "cannot be set: records for a hidden topic could not be delivered"},

    {.name = "queue.buffering.max.messages", .reason = kQueue},
    {.name = "queue.buffering.max.kbytes", .reason = kQueue},
    {.name = "bootstrap.servers", .reason = kBrokers},
    {.name = "metadata.broker.list", .reason = kBrokers},
    {.name = "security.protocol", .reason = "cannot be set: use sink.kafka.tls and the table [sink.kafka.sasl]"},
    {.name = "sasl.*", .reason = kSasl},
    {.name = "enable.sasl.*", .reason = kSasl},
    {.name = "oauthbearer_*", .reason = kSasl},
    {.name = "ssl.ca.location", .reason = "cannot be set: use sink.kafka.tls_ca_location"},
    {.name = "partitioner", .reason = "cannot be set: use sink.kafka.partitioner"},
    {.name = "compression.codec", .reason = kCompression},
    {.name = "compression.type", .reason = kCompression},

    {.name = "log.queue", .reason = kOwned},
    {.name = "enabled_events", .reason = kOwned},
    {.name = "statistics.interval.ms", .reason = kOwned},
    {.name = "opaque", .reason = kOwned},
    {.name = "default_topic_conf", .reason = kOwned},
    {.name = "internal.termination.signal", .reason = kOwned},
    {.name = "ssl_*", .reason = kOwned},
});

bool matches(const Refusal& refusal, std::string_view name) {
  return refusal.name.ends_with('*') ? name.starts_with(refusal.name.substr(0, refusal.name.size() - 1)) : name == refusal.name;
}

bool is_property_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
  });
}

// librdkafka takes "topic.acks" for "acks".
std::string_view without_topic_prefixes(std::string_view name) {
  constexpr std::string_view kPrefix = "topic.";
  while (name.starts_with(kPrefix)) {
    name.remove_prefix(kPrefix.size());
  }
  return name;
}

bool may_be_secret(std::string_view name) {
  constexpr std::array<std::string_view, 7> kMarks = {"password", "secret", "token", "key", "pem", "jaas", "oauthbearer"};
  return std::ranges::any_of(kMarks, [name](std::string_view mark) { return name.contains(mark); });
}

// What librdkafka itself says of it. Its reason often repeats the value.
std::optional<std::string> ask_librdkafka(const std::string& name, const std::string& value) {
  const std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)> conf(rd_kafka_conf_new(), &rd_kafka_conf_destroy);
  std::array<char, 512> text{};
  switch (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text.data(), text.size())) {
    case RD_KAFKA_CONF_OK:
      return std::nullopt;
    case RD_KAFKA_CONF_UNKNOWN:
      return "the Kafka client has no such property";
    case RD_KAFKA_CONF_INVALID:
      break;
  }
  if (may_be_secret(name)) {
    return "the Kafka client does not accept the value";
  }
  std::string reason = text.data();
  reason.erase(reason.find_last_not_of(" \n") + 1);
  return reason;
}

}  // namespace

std::optional<std::string> refuse_property(const std::string& full_name, const std::string& value) {
  if (!is_property_name(full_name)) {
    return "is not the name of a librdkafka property: lower-case letters, digits, dots and underscores";
  }
  if (value.find('\0') != std::string::npos) {
    return "must be a value without NUL characters";
  }
  const std::string_view name = without_topic_prefixes(full_name);
  // librdkafka ignores case and blanks around these values and has several words for false: only the one safe word passes.
  if (name == "enable.ssl.certificate.verification" && value != "true") {
    return "must be true: the broker's certificate is always verified; use sink.kafka.tls_ca_location for a private authority";
  }
  if (name == "ssl.endpoint.identification.algorithm" && value != "https") {
    return "must be \"https\": the broker's certificate must name the broker's host";
  }
  if (name.ends_with("_cb")) {
    return std::string(kOwned);
  }
  const auto* refusal = std::ranges::find_if(kRefusals, [&](const Refusal& candidate) { return matches(candidate, name); });
  return refusal == kRefusals.end() ? ask_librdkafka(full_name, value) : std::string(refusal->reason);
}

}  // namespace outboxx
