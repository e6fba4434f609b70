#include "process_usage.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <chrono>

#include "base/time.h"
#include "base/unique_fd.h"

namespace outboxx {
namespace {

TEST(ProcessUsage, CountsFileDescriptors) {
  const auto before = read_process_usage().open_fds;
  const UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(read_process_usage().open_fds, before + 1);
}

TEST(ProcessUsage, StartIsInTheRecentPastAndDoesNotMove) {
  const double now = std::chrono::duration<double>(wall_now().time_since_epoch()).count();
  const double start = read_process_usage().start_time_seconds;
  EXPECT_LE(start, now + 1);
  EXPECT_GT(start, now - 3600);
  EXPECT_EQ(read_process_usage().start_time_seconds, start);
}

TEST(ProcessUsage, CpuTimeAndMemoryArePlausible) {
  const ProcessUsage first = read_process_usage();
  ProcessUsage later = first;
  while (later.cpu_seconds < first.cpu_seconds + 0.001) {
    later = read_process_usage();
  }
  EXPECT_GT(later.cpu_seconds, 0);
  EXPECT_GT(later.resident_bytes, 1'000'000);
  EXPECT_LT(later.resident_bytes, 100'000'000'000);
}

}  // namespace
}  // namespace outboxx
