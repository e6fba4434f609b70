#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/wait.h"
#include "sink/kafka_mock.h"
#include "sink/kafka_options.h"
#include "sink/kafka_sink.h"

namespace outboxx {
namespace {

// F80: the metadata name a partition before its leader has it.
TEST(KafkaSinkOpen, WaitsForThePartitionsOfANewTopic) {
  MockKafka kafka;
  kafka.create_topic("t", 1);
  KafkaOptions options;
  options.brokers = {kafka.brokers()};
  options.tls = false;
  Metrics metrics;
  const auto sink = KafkaSink::create(options, std::vector<std::string>{"t"}, metrics);
  ASSERT_TRUE(sink);
  const auto open = [&] { return (*sink)->open(Clock::now() + std::chrono::milliseconds(700), StopSignal{}); };

  kafka.fail_topic("t", RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
  EXPECT_FALSE(open());
  kafka.fail_topic("t", RD_KAFKA_RESP_ERR_NO_ERROR);
  kafka.fail_requests(MockKafka::kListOffsets, std::vector<rd_kafka_resp_err_t>(100, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR));
  const auto refused = open();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kKafkaUnreachable);
  EXPECT_EQ(refused.error().message.find("could not use topic \"t\": "), 0U) << refused.error().message;
  kafka.forgive_requests(MockKafka::kListOffsets);
  EXPECT_TRUE(open());
}

}  // namespace
}  // namespace outboxx
