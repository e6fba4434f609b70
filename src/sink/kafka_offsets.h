// The ends of a topic's partitions, asked of their leaders. Blocks; any thread.
#pragma once

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

namespace outboxx {

// Of the partitions 0 to count - 1: the offset of the next record, by the isolation.level of the handle. Returns within the
// time that is given, which rd_kafka_query_watermark_offsets() forgets while a leader is away (librdkafka #2588, mended
// in 2.3.0).
[[nodiscard]] std::expected<std::vector<std::int64_t>, rd_kafka_resp_err_t> query_ends(rd_kafka_t* kafka,
                                                                                       const std::string& topic, int count,
                                                                                       std::chrono::milliseconds patience);

}  // namespace outboxx
