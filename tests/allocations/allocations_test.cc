// No allocation per row: from the bytes that libpq hands over to the call into librdkafka; and none per row of a
// binary COPY.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "allocations/count.h"
#include "base/metrics.h"
#include "base/signal_fd.h"
#include "fakes/instant_sink.h"
#include "fakes/recording.h"
#include "fakes/replayed_stream.h"
#include "pipeline.h"
#include "postgres/copy_binary.h"
#include "postgres/copy_testing.h"
#include "sink/kafka_mock.h"
#include "sink/kafka_sink.h"

namespace outboxx {

// GoogleTest looks for it here.
static void PrintTo(const Scenario& scenario, std::ostream* out) {  // NOLINT(readability-identifier-naming)
  *out << scenario.name;
}

namespace {

constexpr std::size_t kWarmUpRows = 4000;
constexpr std::size_t kMeasuredRows = 4000;

class AllocationsTest : public testing::TestWithParam<Scenario> {
 protected:
  AllocationsTest() { metrics_.streams.emplace_back().name = "benchmark"; }

  // Replays the scenario through a pipeline into the sink; what was allocated while the measured rows were at work.
  Allocations run(Sink& sink) {
    Recording recording = load_recording(GetParam().recording);
    EXPECT_FALSE(recording.rows.empty());
    ReplayedStream stream(recording, GetParam().rows_per_transaction, kWarmUpRows + kMeasuredRows + 1);
    std::optional<Allocations> before;
    std::optional<Allocations> after;
    stream.measure(kWarmUpRows, kWarmUpRows + kMeasuredRows, [&] { before = allocations(); }, [&] { after = allocations(); });
    Pipeline pipeline(
        {.stream = stream, .sink = sink, .monitor = nullptr, .signals = *signals_, .metrics = metrics_, .streams = streams_},
        {}, {.confirmed_flush = stream.start(), .wal_sender_timeout = std::chrono::seconds(60), .format = {}}, Clock::now());
    const auto result = pipeline.run();
    EXPECT_TRUE(result) << result.error().message;
    EXPECT_GE(metrics_.messages_received.value(), stream.rows());
    return {.from_libc = after.value().from_libc - before.value().from_libc,
            .by_operator_new = after.value().by_operator_new - before.value().by_operator_new};
  }

  Result<SignalFd> signals_ = SignalFd::create();
  std::vector<StreamConfig> streams_{benchmark_stream(FormatName::kOutboxxJson)};
  Metrics metrics_;
};

TEST(AllocationCount, CountsWhatThisThreadAllocates) {
  const Allocations before = allocations();
  const std::string text(100, 'x');
  const char* const copy = ::strdup(text.c_str());
  const Allocations after = allocations();
  std::free(const_cast<char*>(copy));

  EXPECT_EQ(after.by_operator_new - before.by_operator_new, 1);
  EXPECT_EQ(after.from_libc - before.from_libc, 2);
}

TEST(CopyAllocations, BinaryCopyAllocatesNothingPerRow) {
  const auto captures = read_copy_captures(std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "copy_binary");
  ASSERT_FALSE(captures.empty());
  for (const CopyCapture& capture : captures) {
    CopyDecoder decoder(capture.types());
    ASSERT_TRUE(decoder.decode(capture.messages.at(0)));
    const auto decode_rows = [&] {
      for (std::size_t index = 1; index + 1 < capture.messages.size(); ++index) {  // the last one is the trailer
        ASSERT_TRUE(decoder.decode(capture.messages[index])) << capture.name;
      }
    };
    decode_rows();
    const Allocations before = allocations();
    decode_rows();
    EXPECT_EQ(allocations().by_operator_new, before.by_operator_new) << capture.name;
    EXPECT_EQ(allocations().from_libc, before.from_libc) << capture.name;
  }
}

TEST_P(AllocationsTest, PipelineAllocatesNothingPerRow) {
  InstantSink sink;

  const Allocations made = run(sink);

  EXPECT_EQ(made.from_libc, 0);
  EXPECT_EQ(made.by_operator_new, 0);
  EXPECT_GE(sink.records(), kWarmUpRows + kMeasuredRows);
}

// librdkafka allocates for itself, with malloc; our side of it does not. Its events may bring text, but not one per row.
TEST_P(AllocationsTest, KafkaSinkAllocatesNothingPerRow) {
  MockKafka kafka;
  kafka.create_topic("benchmark", 1);
  KafkaOptions options = kafka.options();
  auto sink = KafkaSink::create(options, std::vector<std::string>{"benchmark"}, metrics_);
  ASSERT_TRUE(sink) << sink.error().message;
  const auto opened = (*sink)->open(Clock::now() + std::chrono::seconds(30), StopSignal{});
  ASSERT_TRUE(opened) << opened.error().message;

  const Allocations made = run(**sink);

  EXPECT_LT(made.by_operator_new, kMeasuredRows / 100);
  EXPECT_GE(metrics_.records_delivered.value(), kWarmUpRows + kMeasuredRows);
}

INSTANTIATE_TEST_SUITE_P(Rows, AllocationsTest, testing::ValuesIn(kScenarios),
                         [](const auto& scenario) { return scenario.param.name; });

}  // namespace
}  // namespace outboxx
