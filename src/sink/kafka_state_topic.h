// KafkaStateTopic: reads the state records of a pipeline before it streams, and writes what must be there before that. While it
// streams, the sink writes them.
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "model/state_record.h"
#include "sink/kafka_options.h"

namespace outboxx {

// Blocks, a second at most before it looks at the stop. All calls: kKafkaUnreachable, kKafkaRefused.
class KafkaStateTopic {
 public:
  // Creates the topic if it is missing: one partition, compacted, on min(3, brokers) brokers, with a warning if these are less.
  [[nodiscard]] static Result<std::unique_ptr<KafkaStateTopic>> open(const KafkaOptions& options, const std::string& topic,
                                                                     TimePoint deadline, StopSignal stop);

  // All that is committed up to the topic's end as it is now. kState: a record of this pipeline cannot be understood.
  [[nodiscard]] Result<StateHistory> read(const std::string& pipeline, TimePoint deadline, StopSignal stop);

  // Returns when all replicas have it. Without a value: a tombstone.
  [[nodiscard]] Result<> write(const std::string& key, const std::optional<std::string>& value, TimePoint deadline,
                               StopSignal stop);

 private:
  struct HandleDeleter {
    void operator()(rd_kafka_t* handle) const noexcept { rd_kafka_destroy(handle); }
  };
  using Handle = std::unique_ptr<rd_kafka_t, HandleDeleter>;

  KafkaStateTopic(KafkaOptions options, std::string topic, Handle producer)
      : options_(std::move(options)), topic_(std::move(topic)), producer_(std::move(producer)) {}

  // The number of brokers, and whether the topic is there.
  struct Metadata {
    int brokers = 0;
    bool has_topic = false;
  };
  [[nodiscard]] Result<Metadata> wait_for_metadata(TimePoint deadline, StopSignal stop);
  [[nodiscard]] Result<> create(int brokers, TimePoint deadline, StopSignal stop);

  KafkaOptions options_;
  std::string topic_;
  Handle producer_;
};

}  // namespace outboxx
