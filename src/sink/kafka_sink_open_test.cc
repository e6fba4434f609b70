#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <sys/eventfd.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "base/wait.h"
#include "sink/kafka_mock.h"
#include "sink/kafka_options.h"
#include "sink/kafka_sink.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPatience{30};

class KafkaSinkOpenTest : public testing::Test {
 protected:
  KafkaSinkOpenTest() { kafka_.create_topic("t", 1); }

  void create(const std::vector<std::string>& topics = {"t"}) {
    auto sink = KafkaSink::create(options_, topics, metrics_);
    ASSERT_TRUE(sink) << sink.error().message;
    sink_ = *std::move(sink);
  }

  Result<> open(Clock::duration patience, StopSignal stop = StopSignal{}) {
    if (!sink_) {
      create();
    }
    return sink_->open(Clock::now() + patience, stop);
  }

  MockKafka kafka_;
  KafkaOptions options_ = kafka_.options();
  Metrics metrics_;
  std::unique_ptr<KafkaSink> sink_;
};

TEST_F(KafkaSinkOpenTest, NamesTheBrokersThatDoNotAnswer) {
  options_.brokers = {"127.0.0.1:1", "127.0.0.1:2"};
  const auto result = open(milliseconds(300));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kKafkaUnreachable);
  EXPECT_EQ(result.error().message.find("could not reach any Kafka broker of \"127.0.0.1:1,127.0.0.1:2\": "), 0U)
      << result.error().message;
  EXPECT_NE(result.error().message.find("Connection refused"), std::string::npos) << result.error().message;
}

TEST_F(KafkaSinkOpenTest, EndsWhenAStopIsAskedFor) {
  options_.brokers = {"127.0.0.1:1"};
  const UniqueFd stop(::eventfd(1, EFD_CLOEXEC));
  const TimePoint start = Clock::now();
  const auto result = open(kPatience, StopSignal{stop.get()});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInterrupted);
  EXPECT_LT(Clock::now() - start, seconds(3));
}

TEST_F(KafkaSinkOpenTest, TellsOfTlsAgainstAPlaintextPort) {
  options_.tls = true;
  const auto result = open(milliseconds(1500));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kKafkaUnreachable);
  EXPECT_NE(result.error().hint.find("TLS against a plaintext port"), std::string::npos);
}

TEST_F(KafkaSinkOpenTest, RefusesATopicThatStaysUnknown) {
  kafka_.fail_topic("t", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  const auto result = open(seconds(2));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kKafkaRefused);
  EXPECT_EQ(result.error().message, "topic \"t\" does not exist and the broker does not create it");
  EXPECT_NE(result.error().hint.find("--create --topic 't'"), std::string::npos);
}

TEST_F(KafkaSinkOpenTest, OfACheckNamesMissingTopics) {
  kafka_.fail_topic("t", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  kafka_.create_topic("u", 1);
  options_.creates_topics = false;
  create({"t", "u", "t"});
  ASSERT_TRUE(open(kPatience));
  EXPECT_EQ(sink_->missing_topics(), std::vector<std::string>{"t"});
}

TEST_F(KafkaSinkOpenTest, RefusesATopicWithoutAuthorisation) {
  kafka_.fail_topic("t", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  const auto result = open(kPatience);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kKafkaRefused);
  EXPECT_EQ(result.error().message, "cannot write to topic \"t\": Broker: Topic authorization failed");
}

// F80: the metadata name a partition before its leader has it.
TEST_F(KafkaSinkOpenTest, WaitsForThePartitionsOfANewTopic) {
  kafka_.fail_topic("t", RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
  EXPECT_FALSE(open(milliseconds(700)));
  kafka_.fail_topic("t", RD_KAFKA_RESP_ERR_NO_ERROR);
  kafka_.fail_requests(MockKafka::kListOffsets, std::vector<rd_kafka_resp_err_t>(100, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR));
  const auto refused = open(milliseconds(700));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kKafkaUnreachable);
  EXPECT_EQ(refused.error().message.find("could not use topic \"t\": "), 0U) << refused.error().message;
  kafka_.forgive_requests(MockKafka::kListOffsets);
  EXPECT_TRUE(open(milliseconds(700)));
}

}  // namespace
}  // namespace outboxx
