// KafkaOptions: the [sink.kafka] part of the configuration.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace outboxx {

enum class SaslMechanism : std::uint8_t { kPlain, kScramSha256, kScramSha512 };

struct SaslOptions {
  SaslMechanism mechanism = SaslMechanism::kPlain;
  std::string username;
  std::string password;         // secret, never logged: as it was at the start
  std::string password_file{};  // read again for each producer and after a refused login; empty: the environment has it
};

enum class DeliveryMode : std::uint8_t { kAtLeastOnce, kExactlyOnce };

// transaction.timeout.ms: a crash holds up readers of committed records at most that long. The brokers end a Kafka transaction
// that is open for longer.
inline constexpr std::chrono::milliseconds kTransactionTimeout{60'000};

struct KafkaOptions {
  DeliveryMode delivery = DeliveryMode::kAtLeastOnce;
  std::vector<std::string> brokers;
  bool tls = true;
  std::string tls_ca_location;  // empty: the system's certificates
  std::optional<SaslOptions> sasl;
  std::string partitioner = "murmur2_random";
  std::string compression = "lz4";  // librdkafka's compression.codec; v0 files: none
  bool id_header = true;            // the outboxx-id header on each record
  std::string state_topic;          // where kProgressStream's records go; empty: there are none
  std::string transactional_id;     // not empty: exactly once, a Kafka transaction up to each of them
  bool creates_topics = true;       // false: open() takes missing topics as they are, so that a check changes nothing
  std::size_t in_flight_bytes_max = std::size_t{8} * 1024 * 1024;
  std::vector<std::pair<std::string, std::string>> properties;  // passed to librdkafka after our own settings
};

}  // namespace outboxx
