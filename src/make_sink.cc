#include "make_sink.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "sink/kafka_sink.h"
#include "sink/stdout_sink.h"

namespace outboxx {

Result<std::unique_ptr<Sink>> make_sink(const Config& config, Metrics& metrics) {
  switch (config.sink) {
    case SinkType::kKafka: {
      std::vector<std::string> topics;
      for (const StreamConfig& stream : config.streams) {
        topics.push_back(stream.topic);
      }
      return TRY(KafkaSink::create(config.kafka, topics, metrics));
    }
    case SinkType::kStdout:
      return std::make_unique<StdoutSink>(STDOUT_FILENO, metrics);
  }
  return fail(ErrorCode::kInternal, "unknown sink");
}

}  // namespace outboxx
