#include "sink/kafka_sink.h"

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/wait.h"
#include "model/record.h"
#include "sink/kafka_mock.h"
#include "sink/kafka_options.h"
#include "sink/sink.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Units = std::map<UnitId, std::uint64_t>;

constexpr seconds kPatience{30};

class KafkaSinkTest : public testing::Test {
 protected:
  KafkaSinkTest() {
    options_.id_header = false;
    // Waits of production length between attempts would make the tests slow.
    options_.properties = {{"reconnect.backoff.ms", "10"}, {"reconnect.backoff.max.ms", "50"}, {"retry.backoff.ms", "10"}};
    kafka_.create_topic("t", 1);
  }

  void create(const std::string& topic = "t") {
    auto sink = KafkaSink::create(options_, std::vector<std::string>{topic}, metrics_);
    ASSERT_TRUE(sink) << sink.error().message;
    sink_ = *std::move(sink);
  }

  void open() {
    create();
    const auto result = sink_->open(Clock::now() + kPatience, StopSignal{});
    ASSERT_TRUE(result) << result.error().message;
  }

  static Record record_of(std::string key, std::string value) {
    Record record;
    record.key = std::move(key);
    record.value = std::move(value);
    return record;
  }

  // True if the sink took it.
  bool produce(const std::string& key, const std::string& value, UnitId unit) {
    const auto admission = sink_->produce(record_of(key, value), unit);
    EXPECT_TRUE(admission) << admission.error().message;
    return admission == Admission::kAccepted;
  }

  // Serves the sink until count records were delivered, it fails, or patience ends.
  std::optional<Error> serve(std::uint64_t count) {
    const TimePoint deadline = Clock::now() + kPatience;
    while (delivered_ < count && Clock::now() < deadline) {
      wait_for_event();
      const auto deliveries = sink_->poll();
      if (!deliveries) {
        return deliveries.error();
      }
      for (const Delivery& delivery : *deliveries) {
        units_[delivery.unit] += delivery.count;
        delivered_ += delivery.count;
      }
    }
    return std::nullopt;
  }

  void wait_for_event() const {
    pollfd fd = sink_->poll_fd();
    ::poll(&fd, 1, static_cast<int>(milliseconds(kPatience).count()));
  }

  [[nodiscard]] std::vector<std::string> consumed_values(const std::string& topic = "t") const {
    std::vector<std::string> values;
    for (const ConsumedRecord& record : kafka_.consume(topic, 1)) {
      values.push_back(record.value);
    }
    return values;
  }

  // "0", "1", ... in unit 0, 0, 0, 1, 1, 1, ...
  std::vector<std::string> produce_numbers(int count) {
    std::vector<std::string> values;
    for (int number = 0; number < count; ++number) {
      values.push_back(std::to_string(number));
      EXPECT_TRUE(produce("k", values.back(), static_cast<UnitId>(number / 3)));
    }
    EXPECT_TRUE(sink_->flush());
    return values;
  }

  MockKafka kafka_;
  KafkaOptions options_ = kafka_.options();
  Metrics metrics_;
  std::unique_ptr<KafkaSink> sink_;
  Units units_;
  std::uint64_t delivered_ = 0;
};

TEST_F(KafkaSinkTest, DeliversInOrderAndCountsPerUnit) {
  open();
  EXPECT_EQ(metrics_.sink_reachable.value(), 1);
  const auto values = produce_numbers(3000);
  EXPECT_EQ(metrics_.in_flight_records.value(), 3000);
  EXPECT_FALSE(serve(3000));
  Units expected;
  for (UnitId unit = 0; unit < 1000; ++unit) {
    expected[unit] = 3;
  }
  EXPECT_EQ(units_, expected);
  EXPECT_EQ(consumed_values(), values);
  EXPECT_EQ(metrics_.records_delivered.value(), 3000U);
  EXPECT_EQ(metrics_.in_flight_records.value(), 0);
  EXPECT_EQ(metrics_.in_flight_bytes.value(), 0);
  EXPECT_EQ(metrics_.sink_queue_records.value(), 0);
}

TEST_F(KafkaSinkTest, KnowsItsLingerWhateverItIsCalled) {
  create();
  EXPECT_EQ(sink_->linger(), std::chrono::milliseconds(3));
  options_.properties.emplace_back("queue.buffering.max.ms", "50.5");
  create();
  EXPECT_EQ(sink_->linger(), std::chrono::milliseconds(51));
}

TEST_F(KafkaSinkTest, CarriesUnitsOfAll64Bits) {
  open();
  const UnitId largest = ~UnitId{0};
  EXPECT_TRUE(produce("k", "v", largest));
  EXPECT_FALSE(serve(1));
  EXPECT_EQ(units_, (Units{{largest, 1}}));
}

// The descriptor tells of the first report only, so that one poll() must take all: the rest would wait for the statistics'
// event, seconds later, and again in each round.
TEST_F(KafkaSinkTest, MissesNoReportThatCameTogetherWithOthers) {
  kafka_.create_topic("six", 6);
  create("six");
  ASSERT_TRUE(sink_->open(Clock::now() + kPatience, StopSignal{}));
  const TimePoint start = Clock::now();
  for (std::uint64_t round = 1; round <= 30; ++round) {
    for (int key = 0; key < 12; ++key) {
      EXPECT_TRUE(produce(std::to_string(key), "v", round));
    }
    EXPECT_FALSE(serve(12 * round));
  }
  EXPECT_EQ(delivered_, 30U * 12U);
  EXPECT_LT(Clock::now() - start, seconds(20));
}

TEST_F(KafkaSinkTest, RetriableErrorsNeitherLoseNorReorder) {
  open();
  kafka_.fail_requests(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR__TRANSPORT,
                                             RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                                             RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS});
  const auto values = produce_numbers(2000);
  EXPECT_FALSE(serve(2000));
  EXPECT_EQ(consumed_values(), values);
}

// F80: of two requests on their way when a partition is created, a broker may refuse the first and take the second.
TEST_F(KafkaSinkTest, RecordThatOnlyALaterOneVouchesForIsNotDelivered) {
  options_.properties = {{"batch.num.messages", "1"}, {"retry.backoff.ms", "1000"}};
  open();
  kafka_.fail_requests(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART});
  kafka_.answer_after(std::chrono::milliseconds(100));  // both are on their way, however slow this machine is
  EXPECT_TRUE(produce("k", "first", 1) && produce("k", "second", 2));
  const auto error = serve(2);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kKafkaUnreachable);
  EXPECT_EQ(error->message,
            "could not deliver a record of 6 bytes to topic \"t\", partition 0: only a later record was acknowledged");
  EXPECT_EQ(consumed_values(), (std::vector<std::string>{"second"}));
}

// F66: a record that the broker finds too large takes its batch with it; later records must not overtake it.
TEST_F(KafkaSinkTest, RecordTooLargeForTheBrokerStopsAllThatFollow) {
  open();
  EXPECT_TRUE(produce("k", "before", 1));
  EXPECT_FALSE(serve(1));
  kafka_.fail_requests(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  produce_numbers(100);
  const auto error = serve(101);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kKafkaRefused);
  EXPECT_EQ(error->message,
            "could not deliver a record of 3 bytes to topic \"t\", partition 0: Broker: Message size too large");
  EXPECT_NE(error->hint.find("max.message.bytes of topic \"t\""), std::string::npos);
  EXPECT_GT(metrics_.produce_errors.value(), 0U);
  const auto again = sink_->produce(record_of("k", "after"), 9);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message, error->message);
  const auto later = sink_->poll();
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().message, error->message);
  sink_.reset();
  EXPECT_EQ(consumed_values(), (std::vector<std::string>{"before"}));
}

// F3, F92: rights taken away while we run.
TEST_F(KafkaSinkTest, RevokedAuthorisationIsRefused) {
  open();
  kafka_.fail_requests(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED});
  EXPECT_TRUE(produce("k", "v", 1));
  const auto error = serve(1);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kKafkaRefused);
  EXPECT_EQ(error->message,
            "could not deliver a record of 2 bytes to topic \"t\", partition 0: Broker: Topic authorization failed");
  EXPECT_NE(error->hint.find("--operation Write"), std::string::npos);
  EXPECT_EQ(delivered_, 0U);
}

TEST_F(KafkaSinkTest, FatalErrorAsksForANewProducerAndNamesTheCause) {
  open();
  EXPECT_TRUE(produce("k", "v", 1));
  EXPECT_FALSE(serve(1));
  kafka_.fail_requests(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER});
  EXPECT_TRUE(produce("k", "w", 2));
  const auto error = serve(2);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kKafkaUnreachable);
  EXPECT_NE(error->message.find("out of order sequence number"), std::string::npos) << error->message;
}

TEST_F(KafkaSinkTest, MissingRightToWriteIdempotentlyIsRefused) {
  kafka_.fail_requests(MockKafka::kInitProducerId, {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED});
  create();
  // librdkafka asks for its producer id by itself: the refusal comes during open(), or after it.
  std::optional<Error> error;
  if (const auto opened = sink_->open(Clock::now() + kPatience, StopSignal{}); !opened) {
    error = opened.error();
  } else {
    [[maybe_unused]] const auto admission = sink_->produce(record_of("k", "v"), 1);
    error = serve(1);
  }
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kKafkaRefused);
  EXPECT_NE(error->hint.find("IdempotentWrite"), std::string::npos);
}

TEST_F(KafkaSinkTest, BrokerThatIsDownFillsTheSinkByBytesAndLosesNothing) {
  options_.in_flight_bytes_max = std::size_t{64} * 1024;
  open();
  EXPECT_TRUE(produce("k", "first", 0));
  EXPECT_FALSE(serve(1));
  kafka_.set_down();
  std::vector<std::string> values{"first"};
  const std::string padding(1000, '.');
  while (produce("k", std::to_string(values.size()) + padding, values.size())) {
    values.push_back(std::to_string(values.size()) + padding);
    ASSERT_LT(values.size(), 100U) << "the sink must be bounded";
  }
  EXPECT_TRUE(sink_->flush());
  EXPECT_EQ(values.size(), 1U + 52U);  // 64 KiB over 1000 + digits + 1 + 256 bytes
  EXPECT_LE(metrics_.in_flight_bytes.value(), 64 * 1024);
  while (metrics_.sink_reachable.value() == 1) {
    wait_for_event();
    ASSERT_TRUE(sink_->poll());
  }
  kafka_.set_up();
  EXPECT_FALSE(serve(values.size()));
  EXPECT_EQ(metrics_.sink_reachable.value(), 1);
  EXPECT_EQ(consumed_values(), values);
}

TEST_F(KafkaSinkTest, TinyRecordsAreBoundedToo) {
  options_.in_flight_bytes_max = 10'000;
  open();
  kafka_.set_down();
  int accepted = 0;
  while (produce("", "", 1)) {
    ++accepted;
  }
  EXPECT_EQ(accepted, 39);
}

TEST_F(KafkaSinkTest, RecordLargerThanTheCapGoesAlone) {
  options_.in_flight_bytes_max = 1000;
  open();
  const std::string large(500'000, 'x');
  EXPECT_TRUE(produce("k", large, 1));
  EXPECT_FALSE(produce("k", "small", 2));
  EXPECT_FALSE(serve(1));
  EXPECT_TRUE(produce("k", "small", 2));
  EXPECT_FALSE(serve(2));
  EXPECT_EQ(consumed_values(), (std::vector<std::string>{large, "small"}));
}

TEST_F(KafkaSinkTest, RecordLargerThanTheClientAllowsIsRefusedAtOnce) {
  open();
  const auto result = sink_->produce(record_of("key", std::string(1'500'000, 'x')), 1);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kKafkaRefused);
  EXPECT_EQ(result.error().message,
            "cannot send a record to topic \"t\": its 1500003 bytes of key and value are more than message.max.bytes, 1000000");
  EXPECT_NE(result.error().hint.find("message.max.bytes in [sink.kafka.properties]"), std::string::npos);
  EXPECT_FALSE(sink_->poll());
}

TEST_F(KafkaSinkTest, SendsTheEventIdAsHeader) {
  options_.id_header = true;
  open();
  Record record = record_of("k", "v");
  record.id = {.commit_lsn = Lsn{0x19A2B3C}, .ordinal = 1, .part = 0};
  EXPECT_EQ(sink_->produce(record, 1), Admission::kAccepted);
  EXPECT_FALSE(serve(1));
  EXPECT_EQ(
      kafka_.consume("t", 1),
      (std::vector<ConsumedRecord>{
          {.partition = 0, .key = "k", .value = "v", .headers = {{"outboxx-id", "00000000019A2B3C-000000000001-0000"}}}}));
  EXPECT_EQ(metrics_.in_flight_bytes.value(), 0);
}

TEST_F(KafkaSinkTest, MarksTheRecordsOfASplitTransaction) {
  for (const bool id_header : {false, true}) {
    options_.id_header = id_header;
    open();
    Record record = record_of(id_header ? "with" : "without", "v");
    record.is_split = true;
    EXPECT_EQ(sink_->produce(record, 1), Admission::kAccepted);
    EXPECT_FALSE(serve(id_header ? 2 : 1));
  }
  std::vector<std::pair<std::string, std::string>> headers;
  for (const ConsumedRecord& record : kafka_.consume("t", 1)) {
    headers.insert(headers.end(), record.headers.begin(), record.headers.end());
  }
  EXPECT_EQ(headers,
            (decltype(headers){
                {"outboxx-split", "true"}, {"outboxx-id", "0000000000000000-000000000000-0000"}, {"outboxx-split", "true"}}));
}

// librdkafka names the fatal error itself, not the fact, to who sends headers.
TEST_F(KafkaSinkTest, RecordWithHeadersAfterAFatalErrorWaitsForItsCause) {
  options_.id_header = true;
  open();
  kafka_.fail_requests(MockKafka::kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  const TimePoint deadline = Clock::now() + kPatience;
  Result<Admission> admission = Admission::kAccepted;
  while (admission == Admission::kAccepted && Clock::now() < deadline) {
    admission = sink_->produce(record_of("k", "v"), 1);
  }
  ASSERT_TRUE(admission) << admission.error().message;
  EXPECT_EQ(*admission, Admission::kFull);
  const auto error = serve(1);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kKafkaRefused);
  EXPECT_NE(error->message.find("could not deliver a record of "), std::string::npos) << error->message;
}

// F78. librdkafka frees headers that it made itself twice when the topic is gone: its issue #4627.
TEST_F(KafkaSinkTest, RecordWithHeadersForATopicThatIsGoneIsAnError) {
  options_.id_header = true;
  options_.properties.emplace_back("topic.metadata.refresh.interval.ms", "10");
  open();
  kafka_.fail_topic("t", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  const TimePoint deadline = Clock::now() + kPatience;
  Result<Admission> admission = Admission::kAccepted;
  while (admission && Clock::now() < deadline) {
    admission = sink_->produce(record_of("k", "v"), 1);
  }
  ASSERT_FALSE(admission);
  EXPECT_EQ(admission.error().code, ErrorCode::kKafkaUnreachable);  // it may be made anew
  EXPECT_EQ(admission.error().message, "cannot send a record to topic \"t\": Local: Unknown topic");
}

struct KeyPartition {
  std::string partitioner;
  std::vector<std::pair<std::string, std::int32_t>> expected;  // of six partitions
};

class KafkaPartitionerTest : public KafkaSinkTest, public testing::WithParamInterface<KeyPartition> {};

TEST_P(KafkaPartitionerTest, PutsKnownKeysWhereOtherClientsDo) {
  options_.partitioner = GetParam().partitioner;
  kafka_.create_topic("six", 6);
  create("six");
  ASSERT_TRUE(sink_->open(Clock::now() + kPatience, StopSignal{}));
  for (const auto& [key, partition] : GetParam().expected) {
    EXPECT_TRUE(produce(key, std::to_string(partition), 1));
  }
  EXPECT_FALSE(serve(GetParam().expected.size()));
  const auto records = kafka_.consume("six", 6);
  EXPECT_EQ(records.size(), GetParam().expected.size());
  for (const ConsumedRecord& record : records) {
    EXPECT_EQ(std::to_string(record.partition), record.value) << record.key;
  }
}

// murmur2: the hashes of Apache Kafka's own UtilsTest, without the sign bit, modulo 6. CRC-32: captured from the Zig Outboxx.
INSTANTIATE_TEST_SUITE_P(All, KafkaPartitionerTest,
                         testing::Values(KeyPartition{"murmur2_random",
                                                      {{"21", 0},
                                                       {"foobar", 0},
                                                       {"a-little-bit-long-string", 2},
                                                       {"a-little-bit-longer-string", 5},
                                                       {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 5},
                                                       {"abc", 3}}},
                                         KeyPartition{"consistent_random",
                                                      {{"7", 0},
                                                       {"2", 1},
                                                       {"9", 3},
                                                       {"4", 4},
                                                       {"v4", 0},
                                                       {"v5", 2},
                                                       {"v3", 5},
                                                       {"null", 1},
                                                       {"a \"b\" \xC3\xA4", 5},
                                                       {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 4},
                                                       {"1000000000000000000000", 0},
                                                       {"\\x00ff", 4}}}),
                         [](const auto& suite) { return suite.param.partitioner; });

TEST_F(KafkaSinkTest, AbandonedRecordsNeverArrive) {
  open();
  EXPECT_TRUE(produce("k", "kept", 1));
  EXPECT_FALSE(serve(1));
  kafka_.set_down();
  produce_numbers(100);
  sink_->abandon();
  EXPECT_FALSE(sink_->poll());
  EXPECT_EQ(metrics_.in_flight_bytes.value(), 0);
  kafka_.set_up();
  // A new producer delivers after whatever the old one could still have sent.
  open();
  delivered_ = 0;
  EXPECT_TRUE(produce("k", "next", 2));
  EXPECT_FALSE(serve(1));
  EXPECT_EQ(consumed_values(), (std::vector<std::string>{"kept", "next"}));
}

TEST_F(KafkaSinkTest, DestructorIsQuickWhileTheBrokerIsDown) {
  open();
  kafka_.set_down();
  produce_numbers(1000);
  const TimePoint start = Clock::now();
  sink_.reset();
  EXPECT_LT(Clock::now() - start, seconds(2));
}

TEST_F(KafkaSinkTest, RoutesStreamsToTheirTopics) {
  kafka_.create_topic("u", 1);
  auto sink = KafkaSink::create(options_, std::vector<std::string>{"t", "u", "t"}, metrics_);
  ASSERT_TRUE(sink);
  sink_ = *std::move(sink);
  ASSERT_TRUE(sink_->open(Clock::now() + kPatience, StopSignal{}));
  for (const std::size_t stream : {0U, 1U, 2U}) {
    Record record = record_of("k", "of stream " + std::to_string(stream));
    record.stream = stream;
    EXPECT_EQ(sink_->produce(record, stream), Admission::kAccepted);
  }
  EXPECT_FALSE(serve(3));
  EXPECT_EQ(consumed_values("t"), (std::vector<std::string>{"of stream 0", "of stream 2"}));
  EXPECT_EQ(consumed_values("u"), (std::vector<std::string>{"of stream 1"}));
}

}  // namespace
}  // namespace outboxx
