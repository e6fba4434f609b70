// KafkaSink in exactly-once mode, on librdkafka's mock cluster.
#include "sink/kafka_transactions.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/wait.h"
#include "model/record.h"
#include "sink/kafka_mock.h"
#include "sink/kafka_options.h"
#include "sink/kafka_sink.h"
#include "sink/sink.h"

namespace outboxx {
namespace {

constexpr std::chrono::seconds kPatience{30};

class KafkaTransactionsTest : public testing::Test {
 protected:
  KafkaTransactionsTest() {
    options_.delivery = DeliveryMode::kExactlyOnce;
    options_.state_topic = "state";
    options_.transactional_id = "pipeline";
    options_.properties = {{"reconnect.backoff.ms", "10"}, {"reconnect.backoff.max.ms", "50"}, {"retry.backoff.ms", "10"}};
    kafka_.create_topic("t", 1);
    kafka_.create_topic("state", 1);
    auto sink = KafkaSink::create(options_, std::vector<std::string>{"t"}, metrics_);
    EXPECT_TRUE(sink) << sink.error().message;
    sink_ = *std::move(sink);
    const auto opened = sink_->open(Clock::now() + kPatience, StopSignal{});
    EXPECT_TRUE(opened) << opened.error().message;
  }

  Result<Admission> produce(std::size_t stream, const std::string& value, UnitId unit) {
    Record record;
    record.stream = stream;
    record.key = "k";
    record.value = value;
    return sink_->produce(record, unit);
  }

  // Until the position is recorded, the sink fails, or patience ends.
  Result<bool> commits() {
    const TimePoint deadline = Clock::now() + kPatience;
    while (Clock::now() < deadline) {
      pollfd fd = sink_->poll_fd();
      ::poll(&fd, 1, 1000);
      for (const Delivery& delivery : TRY(sink_->poll())) {
        if (delivery.unit == kProgressUnit) {
          return true;
        }
      }
    }
    return false;
  }

  MockKafka kafka_;
  KafkaOptions options_ = kafka_.options();
  Metrics metrics_;
  std::unique_ptr<KafkaSink> sink_;
};

TEST_F(KafkaTransactionsTest, RecordOfProgressEndsTheTransactionAndTheNextBeginsAfterIt) {
  for (const std::string value : {"one", "two"}) {
    EXPECT_EQ(produce(0, value, 1), Admission::kAccepted);
    EXPECT_EQ(produce(kProgressStream, "position", kProgressUnit), Admission::kAccepted);
    EXPECT_EQ(produce(0, "early", 2), Admission::kFull) << "until the end of the commit";
    EXPECT_EQ(commits(), true);
  }
  EXPECT_EQ(kafka_.consume("t", 1).size(), 2);
  EXPECT_EQ(kafka_.consume("state", 1).size(), 2);
}

// Nobody knows whether it was committed: whatever the producer wrote next could end up in either transaction.
TEST_F(KafkaTransactionsTest, ProducerIsSpentWhenNobodyKnowsHowATransactionEnded) {  // F87
  EXPECT_EQ(produce(0, "one", 1), Admission::kAccepted);
  kafka_.fail_requests(MockKafka::kEndTxn, {RD_KAFKA_RESP_ERR_UNKNOWN});
  EXPECT_EQ(produce(kProgressStream, "position", kProgressUnit), Admission::kAccepted);
  const auto ended = commits();
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, ErrorCode::kKafkaUnreachable) << ended.error().message;
  EXPECT_FALSE(produce(0, "two", 2).has_value());
  EXPECT_FALSE(sink_->poll().has_value());
}

TEST_F(KafkaTransactionsTest, FencedProducerSaysSo) {  // F90
  EXPECT_EQ(produce(0, "one", 1), Admission::kAccepted);
  kafka_.fail_requests(MockKafka::kEndTxn, {RD_KAFKA_RESP_ERR_PRODUCER_FENCED});
  EXPECT_EQ(produce(kProgressStream, "position", kProgressUnit), Admission::kAccepted);
  const auto ended = commits();
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, ErrorCode::kFenced) << ended.error().message;
}

// librdkafka 2.0.2 aborts the process if it is destroyed in the moment in which it takes a partition into the transaction.
TEST_F(KafkaTransactionsTest, ProducerMayGoInTheFirstMomentsOfATransaction) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand random(seed);
  std::uniform_int_distribution<int> records(1, 3000);
  for (int round = 0; round < 200; ++round) {
    for (int left = records(random); left > 0; --left) {
      ASSERT_EQ(produce(0, "value", 1), Admission::kAccepted);
    }
    sink_ = std::move(KafkaSink::create(options_, std::vector<std::string>{"t"}, metrics_)).value();
    ASSERT_TRUE(sink_->open(Clock::now() + kPatience, StopSignal{}));
  }
}

// A right that is missing shows when the transaction takes the partition in, and all its records are purged for it.
TEST_F(KafkaTransactionsTest, RefusalToTakeAPartitionInIsTheCause) {
  kafka_.fail_requests(MockKafka::kAddPartitionsToTxn, {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED});
  EXPECT_EQ(produce(0, "one", 1), Admission::kAccepted);
  const auto ended = commits();
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, ErrorCode::kKafkaRefused) << ended.error().message;
  EXPECT_NE(ended.error().message.find("Topic authorization failed"), std::string::npos) << ended.error().message;
}

TEST_F(KafkaTransactionsTest, RecordAfterOneThatWasRefusedWaitsForTheCause) {
  EXPECT_EQ(produce(0, "one", 1), Admission::kAccepted);
  kafka_.fail_requests(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  const TimePoint deadline = Clock::now() + kPatience;
  Result<Admission> admission = Admission::kAccepted;
  while (admission == Admission::kAccepted && Clock::now() < deadline) {
    admission = produce(0, "more", 1);
  }
  ASSERT_TRUE(admission) << admission.error().message;
  EXPECT_EQ(*admission, Admission::kFull);
  const auto ended = commits();
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, ErrorCode::kKafkaRefused) << ended.error().message;
}

}  // namespace
}  // namespace outboxx
