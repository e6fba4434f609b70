#include "sink/stdout_sink.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "base/wait.h"
#include "model/record.h"
#include "sink/sink.h"

namespace outboxx {
namespace {

using Deliveries = std::vector<std::pair<UnitId, std::uint32_t>>;

Record record_of(std::string value) {
  Record record;
  record.value = std::move(value);
  return record;
}

class StdoutSinkTest : public testing::Test {
 protected:
  StdoutSinkTest() {
    std::signal(SIGPIPE, SIG_IGN);
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    reader_ = UniqueFd(ends[0]);
    writer_ = UniqueFd(ends[1]);
    EXPECT_EQ(::fcntl(reader_.get(), F_SETFL, O_NONBLOCK), 0);
    output_.fd = writer_.get();
  }

  static void open(StdoutSink& sink) { ASSERT_TRUE(sink.open(Clock::now(), StopSignal{})); }

  static Deliveries delivered(StdoutSink& sink) {
    Deliveries all;
    const auto deliveries = sink.poll();
    EXPECT_TRUE(deliveries.has_value());
    for (const Delivery& delivery : *deliveries) {
      all.emplace_back(delivery.unit, delivery.count);
    }
    return all;
  }

  // What the pipe holds.
  std::string read_some() {
    std::array<char, 65536> bytes{};
    const ssize_t count = ::read(reader_.get(), bytes.data(), bytes.size());
    return count > 0 ? std::string(bytes.data(), static_cast<std::size_t>(count)) : std::string();
  }

  Metrics metrics_;
  UniqueFd reader_;
  UniqueFd writer_;
  Output output_;
};

TEST_F(StdoutSinkTest, WritesOneLinePerRecordAndReportsItsUnit) {
  StdoutSink sink(output_, metrics_);
  open(sink);
  EXPECT_EQ(sink.produce(record_of(R"({"a":1})"), 7), Admission::kAccepted);
  EXPECT_EQ(sink.produce(record_of(R"({"a":2})"), 7), Admission::kAccepted);
  EXPECT_EQ(sink.produce(record_of(R"({"a":3})"), 8), Admission::kAccepted);
  EXPECT_EQ(sink.poll_fd().fd, writer_.get());
  EXPECT_TRUE(sink.flush());
  EXPECT_EQ(read_some(), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
  EXPECT_EQ(delivered(sink), (Deliveries{{7, 2}, {8, 1}}));
  EXPECT_EQ(delivered(sink), Deliveries{});
  EXPECT_EQ(sink.poll_fd().fd, -1);
  EXPECT_EQ(metrics_.records_delivered.value(), 3U);
  EXPECT_EQ(metrics_.in_flight_bytes.value(), 0);
}

TEST_F(StdoutSinkTest, HangingReaderFillsTheSinkAndNeverBlocksIt) {
  StdoutSink sink(output_, metrics_);
  open(sink);
  const std::string value(999, 'x');
  std::uint64_t accepted = 0;
  while (sink.produce(record_of(value), 1) == Admission::kAccepted) {
    ++accepted;
    ASSERT_TRUE(sink.flush());
    ASSERT_LT(accepted, 10'000U) << "the sink must be bounded";
  }
  EXPECT_GE(accepted, 1048U);  // a MiB, and what the pipe took
  std::uint64_t reported = 0;
  std::uint64_t lines = 0;
  for (int round = 0; round < 1000 && reported < accepted; ++round) {
    for (const char byte : read_some()) {
      lines += byte == '\n' ? 1 : 0;
    }
    for (const auto& [unit, count] : delivered(sink)) {
      reported += count;
    }
  }
  EXPECT_EQ(reported, accepted);
  for (std::string bytes = read_some(); !bytes.empty(); bytes = read_some()) {
    for (const char byte : bytes) {
      lines += byte == '\n' ? 1 : 0;
    }
  }
  EXPECT_EQ(lines, accepted);
}

TEST_F(StdoutSinkTest, RecordIsDeliveredOnlyWithItsLastByte) {
  StdoutSink sink(output_, metrics_);
  open(sink);
  EXPECT_EQ(sink.produce(record_of(std::string(3'000'000, 'y')), 1), Admission::kAccepted);
  EXPECT_EQ(sink.produce(record_of("z"), 2), Admission::kFull);
  std::size_t size = 0;
  Deliveries all;
  for (int round = 0; round < 1000 && size < 3'000'001; ++round) {
    all = delivered(sink);
    EXPECT_EQ(all.empty(), sink.poll_fd().fd >= 0);
    size += read_some().size();
  }
  EXPECT_EQ(all, (Deliveries{{1, 1}}));
  EXPECT_EQ(size, 3'000'001U);
}

TEST_F(StdoutSinkTest, DoesNotCutShortLinesWhenThePipeIsFull) {
  StdoutSink sink(output_, metrics_);
  open(sink);
  while (sink.produce(record_of(std::string(700, 'x')), 1) == Admission::kAccepted) {
  }
  ASSERT_TRUE(sink.flush());
  sink.abandon();
  std::string last;
  for (std::string bytes = read_some(); !bytes.empty(); bytes = read_some()) {
    last = bytes;
  }
  EXPECT_TRUE(last.ends_with('\n'));
  EXPECT_EQ(delivered(sink), Deliveries{});
}

TEST_F(StdoutSinkTest, LineThatALostSessionCutIsEndedByTheNextSink) {
  std::string all;
  {
    StdoutSink sink(output_, metrics_);
    open(sink);
    EXPECT_EQ(sink.produce(record_of(std::string(100'000, 'x')), 1), Admission::kAccepted);
    ASSERT_TRUE(sink.flush());
    sink.abandon();
    all = read_some();
    ASSERT_LT(all.size(), 100'000U);
  }
  StdoutSink sink(output_, metrics_);
  open(sink);
  EXPECT_EQ(sink.poll_fd().fd, -1);
  EXPECT_EQ(sink.produce(record_of("{}"), 1), Admission::kAccepted);
  EXPECT_EQ(delivered(sink), (Deliveries{{1, 1}}));
  EXPECT_EQ(sink.produce(record_of("{}"), 2), Admission::kAccepted);
  EXPECT_EQ(delivered(sink), (Deliveries{{2, 1}}));
  EXPECT_EQ(read_some(), "\n{}\n{}\n");
}

TEST_F(StdoutSinkTest, NoEmptyLineAfterALineThatIsWhole) {
  for (int session = 0; session < 2; ++session) {
    StdoutSink sink(output_, metrics_);
    open(sink);
    EXPECT_EQ(sink.produce(record_of("{}"), 1), Admission::kAccepted);
    EXPECT_EQ(delivered(sink), (Deliveries{{1, 1}}));
  }
  EXPECT_EQ(read_some(), "{}\n{}\n");
}

TEST_F(StdoutSinkTest, LeavesTheDescriptionBlocking) {
  StdoutSink sink(output_, metrics_);
  open(sink);
  EXPECT_EQ(::fcntl(writer_.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(StdoutSinkTest, ClosedReaderIsAnOutputError) {
  StdoutSink sink(output_, metrics_);
  open(sink);
  EXPECT_EQ(sink.produce(record_of("{}"), 1), Admission::kAccepted);
  reader_ = UniqueFd();
  const auto result = sink.poll();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kOutput);
  EXPECT_EQ(result.error().message, "could not write to standard output: Broken pipe");
}

TEST_F(StdoutSinkTest, ClosedOrReadOnlyDescriptorIsFoundWhenOpening) {
  Output no_descriptor{.fd = -1};
  Output no_writer{.fd = reader_.get()};
  StdoutSink closed(no_descriptor, metrics_);
  StdoutSink read_only(no_writer, metrics_);
  for (StdoutSink* const sink : {&closed, &read_only}) {
    const auto result = sink->open(Clock::now(), StopSignal{});
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kOutput);
  }
}

TEST_F(StdoutSinkTest, WritesARegularFileWhole) {
  const UniqueFd file(::memfd_create("stdout", MFD_CLOEXEC));
  Output output{.fd = file.get()};
  StdoutSink sink(output, metrics_);
  open(sink);
  const std::string value(900'000, 'f');
  EXPECT_EQ(sink.produce(record_of(value), 1), Admission::kAccepted);
  EXPECT_EQ(sink.produce(record_of(value), 1), Admission::kFull);
  EXPECT_EQ(delivered(sink), (Deliveries{{1, 1}}));
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 900'001);
}

// A file as a shell opens it for >>, and what is in it after one record.
std::string appended(const std::string& before) {
  const std::string path = testing::TempDir() + "outboxx-stdout-" + std::to_string(::getpid());
  std::ofstream(path, std::ios::binary) << before;
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  Output output{.fd = file.get()};
  Metrics metrics;
  StdoutSink sink(output, metrics);
  EXPECT_TRUE(sink.open(Clock::now(), StopSignal{}));
  EXPECT_EQ(sink.produce(record_of("{}"), 1), Admission::kAccepted);
  EXPECT_TRUE(sink.poll());
  std::ostringstream after;
  after << std::ifstream(path, std::ios::binary).rdbuf();
  std::remove(path.c_str());
  return after.str();
}

TEST(StdoutSinkFileTest, LineThatWasCutIsEnded) {
  EXPECT_EQ(appended("{}\n{\"a"), "{}\n{\"a\n{}\n");
  EXPECT_EQ(appended("{}\n"), "{}\n{}\n");
  EXPECT_EQ(appended(""), "{}\n");
}

TEST(StdoutSinkFileTest, LooksBeforeThePlaceOfTheDescriptor) {
  const UniqueFd file(::memfd_create("stdout", MFD_CLOEXEC));
  ASSERT_EQ(::pwrite(file.get(), "a\nb", 3, 0), 3);
  for (const auto& [position, is_cut] : {std::pair{0, false}, {1, true}, {2, false}, {3, true}}) {
    ASSERT_EQ(::lseek(file.get(), position, SEEK_SET), position);
    Output output{.fd = file.get()};
    Metrics metrics;
    StdoutSink sink(output, metrics);
    ASSERT_TRUE(sink.open(Clock::now(), StopSignal{}));
    EXPECT_EQ(output.ends_amid_line, is_cut) << position;
  }
}

}  // namespace
}  // namespace outboxx
