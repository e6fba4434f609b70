#include "sink/kafka_config.h"

#include <librdkafka/rdkafka.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/secret_file.h"
#include "sink/kafka_options.h"
#include "sink/kafka_properties.h"

namespace outboxx {
namespace {

struct Property {
  const char* name;
  const char* value;
};

// All exist in librdkafka 2.0.2. Reasons and measurements: docs/kafka.md.
constexpr auto kProperties = std::to_array<Property>({
    {"client.id", "outboxx"},
    {"acks", "all"},
    {"enable.idempotence", "true"},
    {"enable.gapless.guarantee", "true"},
    {"message.timeout.ms", "0"},  // infinite: back-pressure in place of loss
    {"linger.ms", "3"},
    {"batch.size", "1000000"},
    {"batch.num.messages", "10000"},
    // Our own cap on bytes in flight decides, so that a full queue of librdkafka never does. 10'000'000 records of our
    // least charge are more than any cap.
    {"queue.buffering.max.messages", "10000000"},
    {"queue.buffering.max.kbytes", "2147483647"},
    {"log.queue", "true"},  // no code of ours runs on librdkafka's threads
    {"statistics.interval.ms", "5000"},
    // A broker that a black hole swallowed is given up after this. The broker answers first if it is only its replicas that
    // lag.
    {"socket.timeout.ms", "25000"},
    {"request.timeout.ms", "20000"},
    {"socket.keepalive.enable", "true"},
    {"socket.nagle.disable", "true"},
});

Result<> set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value, std::string_view key) {
  std::array<char, 512> text{};
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size()) != RD_KAFKA_CONF_OK) {
    return fail(ErrorCode::kConfig, std::string(key) + ": the Kafka client does not accept it: " + text.data());
  }
  return {};
}

const char* security_protocol(const KafkaOptions& options) {
  if (options.sasl) {
    return options.tls ? "sasl_ssl" : "sasl_plaintext";
  }
  return options.tls ? "ssl" : "plaintext";
}

const char* mechanism_name(SaslMechanism mechanism) {
  switch (mechanism) {
    case SaslMechanism::kPlain:
      return "PLAIN";
    case SaslMechanism::kScramSha256:
      return "SCRAM-SHA-256";
    case SaslMechanism::kScramSha512:
      return "SCRAM-SHA-512";
  }
  std::unreachable();
}

// librdkafka says no more than that "ssl.ca.location failed".
Result<> check_readable(const std::string& path, std::string_view key) {
  if (::access(path.c_str(), R_OK) != 0) {
    return fail(ErrorCode::kConfig, std::string(key) + ": could not read \"" + path + "\": " + std::strerror(errno));
  }
  return {};
}

Result<> set_security(rd_kafka_conf_t* conf, const KafkaOptions& options) {
  TRY(set(conf, "security.protocol", security_protocol(options), "sink.kafka.tls"));
  if (!options.tls_ca_location.empty()) {
    TRY(check_readable(options.tls_ca_location, "sink.kafka.tls_ca_location"));
    TRY(set(conf, "ssl.ca.location", options.tls_ca_location, "sink.kafka.tls_ca_location"));
  }
  if (options.sasl) {
    TRY(set(conf, "sasl.mechanisms", mechanism_name(options.sasl->mechanism), "sink.kafka.sasl"));
    TRY(set(conf, "sasl.username", options.sasl->username, "sink.kafka.sasl"));
    const std::string password = TRY(current_password(*options.sasl));
    TRY(set(conf, "sasl.password", password, "sink.kafka.sasl"));
  }
  return {};
}

Result<> set_user_property(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
  const std::string key = "sink.kafka.properties." + name;
  if (const auto refusal = refuse_property(name, value)) {
    return fail(ErrorCode::kConfig, key + ": " + *refusal);
  }
  return set(conf, name, value, key);
}

}  // namespace

Result<KafkaConf> make_kafka_conf(const KafkaOptions& options) {
  KafkaConf conf(rd_kafka_conf_new());
  rd_kafka_conf_set_events(conf.get(), RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS | RD_KAFKA_EVENT_LOG);
  for (const Property& property : kProperties) {
    TRY(set(conf.get(), property.name, property.value, property.name));
  }
  TRY(set(conf.get(), "bootstrap.servers", broker_list(options), "sink.kafka.brokers"));
  TRY(set(conf.get(), "partitioner", options.partitioner, "sink.kafka.partitioner"));
  TRY(set(conf.get(), "compression.codec", options.compression, "sink.kafka.compression"));
  TRY(set_security(conf.get(), options));
  if (!options.transactional_id.empty()) {
    TRY(set(conf.get(), "transactional.id", options.transactional_id, "state.id"));
    // A record that waits longer fails its transaction, and the session begins anew with another producer.
    const std::string timeout = std::to_string(kTransactionTimeout.count());
    TRY(set(conf.get(), "transaction.timeout.ms", timeout, "transaction.timeout.ms"));
    TRY(set(conf.get(), "message.timeout.ms", timeout, "message.timeout.ms"));
  }
  for (const auto& [name, value] : options.properties) {
    TRY(set_user_property(conf.get(), name, value));
  }
  if (!options.creates_topics) {  // after the user's: asking for a topic makes many brokers create it
    TRY(set(conf.get(), "allow.auto.create.topics", "false", "allow.auto.create.topics"));
  }
  return conf;
}

std::string kafka_property(rd_kafka_t* kafka, const char* name) {
  std::array<char, 64> value{};
  std::size_t size = value.size();
  rd_kafka_conf_get(rd_kafka_conf(kafka), name, value.data(), &size);
  return value.data();
}

Result<std::string> current_password(const SaslOptions& sasl) {
  if (sasl.password_file.empty()) {
    return sasl.password;
  }
  auto password = read_secret_file(sasl.password_file);
  if (!password) {
    return fail_with_context("sink.kafka.sasl.password_file \"" + sasl.password_file + "\"", std::move(password).error());
  }
  return password;
}

std::string broker_list(const KafkaOptions& options) {
  std::string list;
  for (const std::string& broker : options.brokers) {
    if (!list.empty()) {
      list.push_back(',');
    }
    list.append(broker);
  }
  return list;
}

std::string librdkafka_version() {
  return rd_kafka_version_str();
}

}  // namespace outboxx
