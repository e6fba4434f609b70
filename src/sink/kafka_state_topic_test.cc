#include "sink/kafka_state_topic.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "sink/kafka_mock.h"

namespace outboxx {
namespace {

using std::chrono::seconds;

TEST(KafkaStateTopicTest, ReadEndsInTimeWhileTheLeaderIsAway) {
  MockKafka kafka;
  kafka.create_topic("state", 1);
  const auto topic = KafkaStateTopic::open(kafka.options(), "state", Clock::now() + seconds(30), StopSignal{});
  ASSERT_TRUE(topic) << topic.error().message;
  const auto before = (*topic)->read("pipeline", Clock::now() + seconds(30), StopSignal{});
  ASSERT_TRUE(before) << before.error().message;

  kafka.set_down();
  const TimePoint start = Clock::now();
  const auto history = (*topic)->read("pipeline", start + seconds(2), StopSignal{});
  ASSERT_FALSE(history);
  EXPECT_EQ(history.error().code, ErrorCode::kKafkaUnreachable);
  EXPECT_LT(Clock::now() - start, seconds(10));
}

}  // namespace
}  // namespace outboxx
