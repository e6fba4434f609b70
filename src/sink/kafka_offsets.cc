#include "sink/kafka_offsets.h"

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace outboxx {
namespace {

struct PartitionsDeleter {
  void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
};

}  // namespace

std::expected<std::vector<std::int64_t>, rd_kafka_resp_err_t> query_ends(rd_kafka_t* kafka, const std::string& topic, int count,
                                                                         std::chrono::milliseconds patience) {
  const std::unique_ptr<rd_kafka_topic_partition_list_t, PartitionsDeleter> list{rd_kafka_topic_partition_list_new(count)};
  for (int partition = 0; partition < count; ++partition) {
    // In the place of a time: the end, as the request itself says it.
    rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition)->offset = RD_KAFKA_OFFSET_END;
  }
  if (const rd_kafka_resp_err_t error = rd_kafka_offsets_for_times(kafka, list.get(), static_cast<int>(patience.count()))) {
    return std::unexpected(error);
  }
  std::vector<std::int64_t> ends(static_cast<std::size_t>(count));
  for (int index = 0; index < count; ++index) {
    const rd_kafka_topic_partition_t& found = list->elems[index];
    if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return std::unexpected(found.err);
    }
    ends[static_cast<std::size_t>(found.partition)] = found.offset;
  }
  return ends;
}

}  // namespace outboxx
