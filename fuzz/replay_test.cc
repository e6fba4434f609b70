// Replays the seeds through the fuzz targets, so that every test run sees that the targets still hold on them.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "postgres/pgoutput_testing.h"
#include "targets.h"

namespace outboxx::fuzz {
namespace {

using std::string_view_literals::operator""sv;

TEST(FuzzReplay, PgoutputDecodesEachCaptureAsOneSession) {
  const auto paths = pgoutput::capture_paths(std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "pgoutput");
  ASSERT_FALSE(paths.empty());
  for (const auto& path : paths) {
    const auto messages = pgoutput::read_capture(path);
    ASSERT_TRUE(messages) << path;
    std::string input;
    for (const auto& message : *messages) {
      input += static_cast<char>(message.data.size() >> 8);
      input += static_cast<char>(message.data.size());
      input += message.data;
    }
    EXPECT_EQ(fuzz_pgoutput(input), messages->size()) << path;
  }
}

TEST(FuzzReplay, ByteReaderHoldsOnEveryOperationInEveryOrderOfTwo) {
  constexpr std::string_view buffer = "\0\0\0\2ab\0cdefgh\0ijk"sv;
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string operations = {'\2', static_cast<char>(first), static_cast<char>(second)};
      fuzz_byte_reader(operations + std::string(buffer));
    }
  }
}

}  // namespace
}  // namespace outboxx::fuzz
