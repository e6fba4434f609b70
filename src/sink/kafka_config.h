// The configuration of the Kafka producer: what Outboxx sets and why (docs/kafka.md), then what the user added.
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>

#include "base/error.h"
#include "sink/kafka_options.h"

namespace outboxx {

struct KafkaConfDeleter {
  void operator()(rd_kafka_conf_t* conf) const noexcept { rd_kafka_conf_destroy(conf); }
};
using KafkaConf = std::unique_ptr<rd_kafka_conf_t, KafkaConfDeleter>;

// kConfig for a property that librdkafka does not take, or that would break a promise of ours or run foreign code. The
// error never holds the value of a property that may be a secret. The configuration itself is never to be dumped:
// rd_kafka_conf_dump() prints secrets.
[[nodiscard]] Result<KafkaConf> make_kafka_conf(const KafkaOptions& options);

// As librdkafka has it, whatever it was called when it was set. Not for secrets.
[[nodiscard]] std::string kafka_property(rd_kafka_t* kafka, const char* name);

// The password as it is now, from its file if it has one. kConfig.
[[nodiscard]] Result<std::string> current_password(const SaslOptions& sasl);

// "a:9092,b:9092"
[[nodiscard]] std::string broker_list(const KafkaOptions& options);

// Of the library that is linked: "2.0.2".
[[nodiscard]] std::string librdkafka_version();

}  // namespace outboxx
