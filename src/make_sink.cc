#include "make_sink.h"

#include <memory>
#include <string>
#include <vector>

#include "sink/kafka_options.h"
#include "sink/kafka_sink.h"
#include "sink/stdout_sink.h"

namespace outboxx {
namespace {

std::vector<std::string> topics_of(const Config& config) {
  std::vector<std::string> topics;
  topics.reserve(config.streams.size());
  for (const StreamConfig& stream : config.streams) {
    topics.push_back(stream.topic);
  }
  return topics;
}

}  // namespace

Result<std::unique_ptr<Sink>> make_sink(const Config& config, Output& output, Metrics& metrics) {
  switch (config.sink) {
    case SinkType::kKafka: {
      KafkaOptions options = config.kafka;
      options.state_topic = config.state.topic;
      if (options.delivery == DeliveryMode::kExactlyOnce) {
        options.transactional_id = config.state.id.empty() ? config.postgres.slot_name : config.state.id;
      }
      return TRY(KafkaSink::create(options, topics_of(config), metrics));
    }
    case SinkType::kStdout:
      return std::make_unique<StdoutSink>(output, metrics, config.state.file);
  }
  return fail(ErrorCode::kInternal, "unknown sink");
}

Result<std::vector<std::string>> find_missing_topics(const Config& config, TimePoint deadline, StopSignal stop) {
  if (config.sink != SinkType::kKafka) {
    return {};
  }
  KafkaOptions options = config.kafka;
  options.creates_topics = false;
  Metrics metrics;
  const auto sink = TRY(KafkaSink::create(options, topics_of(config), metrics));
  TRY(sink->open(deadline, stop));
  return sink->missing_topics();
}

}  // namespace outboxx
