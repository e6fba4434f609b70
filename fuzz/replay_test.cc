// Replays the seeds through the fuzz targets, so that every test run sees that the targets still hold on them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "copy_binary_target.h"
#include "postgres/copy_testing.h"
#include "postgres/pgoutput_testing.h"
#include "targets.h"

namespace outboxx::fuzz {
namespace {

using std::string_view_literals::operator""sv;

void append_u16(std::string& out, std::size_t number) {
  out += static_cast<char>(number >> 8);
  out += static_cast<char>(number);
}

TEST(FuzzReplay, PgoutputDecodesEachCaptureAsOneSession) {
  const auto paths = pgoutput::capture_paths(std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "pgoutput");
  ASSERT_FALSE(paths.empty());
  for (const auto& path : paths) {
    const auto messages = pgoutput::read_capture(path);
    ASSERT_TRUE(messages) << path;
    std::string input;
    for (const auto& message : *messages) {
      append_u16(input, message.data.size());
      input += message.data;
    }
    EXPECT_EQ(fuzz_pgoutput(input), messages->size()) << path;
  }
}

TEST(FuzzReplay, CopyBinaryDecodesEachCaptureAsOneCopy) {
  const auto captures = read_copy_captures(std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "copy_binary");
  ASSERT_FALSE(captures.empty());
  for (const CopyCapture& capture : captures) {
    std::string input(1, static_cast<char>(capture.type_oids.size()));
    for (const std::uint32_t oid : capture.type_oids) {
      append_u16(input, oid);
    }
    for (const std::string& message : capture.messages) {
      append_u16(input, message.size());
      input += message;
    }
    EXPECT_EQ(fuzz_copy_binary(input), std::ranges::count(capture.text, '\n')) << capture.name;
  }
}

TEST(FuzzReplay, CopyBinaryHoldsOnEveryByteOfARowChanged) {
  const auto capture = read_copy_capture(std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "copy_binary" / "types.capture");
  std::string head(1, static_cast<char>(capture.type_oids.size()));
  for (const std::uint32_t oid : capture.type_oids) {
    append_u16(head, oid);
  }
  const std::string& row = capture.messages.at(0);
  append_u16(head, row.size());
  for (std::size_t index = 0; index < row.size(); ++index) {
    for (const char byte : {'\0', '\1', '\x7F', '\x80', '\xFF'}) {
      std::string changed = row;
      changed[index] = byte;
      fuzz_copy_binary(head + changed);
    }
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
