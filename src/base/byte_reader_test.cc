#include "base/byte_reader.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string_view>

namespace outboxx {
namespace {

using std::string_view_literals::operator""sv;

TEST(ByteReader, ReadsBigEndianIntegers) {
  ByteReader reader(
      "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xff\xfd"sv);
  EXPECT_EQ(reader.read_u8(), 0x01);
  EXPECT_EQ(reader.read_u16(), 0x0203);
  EXPECT_EQ(reader.read_u32(), 0x04050607u);
  EXPECT_EQ(reader.read_u64(), 0x08090a0b0c0d0e0fu);
  EXPECT_EQ(reader.read_i32(), -2);
  EXPECT_EQ(reader.read_i64(), -3);
  EXPECT_EQ(reader.remaining(), 0u);
  EXPECT_FALSE(reader.failed());
}

TEST(ByteReader, ReturnsViewsIntoTheBuffer) {
  constexpr std::string_view kBuffer = "ab\0c\0\0"sv;
  ByteReader reader(kBuffer);
  const std::string_view bytes = reader.read_bytes(1);
  EXPECT_EQ(bytes, "a");
  EXPECT_EQ(bytes.data(), kBuffer.data());
  EXPECT_EQ(reader.read_cstring(), "b");
  EXPECT_EQ(reader.read_cstring(), "c");
  EXPECT_EQ(reader.position(), 5u);
  EXPECT_EQ(reader.read_cstring(), "");
  EXPECT_EQ(reader.read_bytes(0), "");
  EXPECT_FALSE(reader.failed());
}

TEST(ByteReader, FailsInsteadOfReadingPastTheEnd) {
  const auto failure_of = [](std::string_view bytes, auto read) {
    ByteReader reader(bytes);
    read(reader);
    EXPECT_TRUE(reader.failed());
    EXPECT_EQ(reader.position(), 0u);
    EXPECT_EQ(reader.remaining(), 0u);
    return std::string_view(reader.failure());
  };
  EXPECT_EQ(failure_of(""sv, [](ByteReader& reader) { EXPECT_EQ(reader.read_u8(), 0u); }), "unexpected end");
  EXPECT_EQ(failure_of("1"sv, [](ByteReader& reader) { EXPECT_EQ(reader.read_u16(), 0u); }), "unexpected end");
  EXPECT_EQ(failure_of("123"sv, [](ByteReader& reader) { EXPECT_EQ(reader.read_u32(), 0u); }), "unexpected end");
  EXPECT_EQ(failure_of("1234567"sv, [](ByteReader& reader) { EXPECT_EQ(reader.read_u64(), 0u); }), "unexpected end");
  EXPECT_EQ(failure_of("12"sv, [](ByteReader& reader) { EXPECT_EQ(reader.read_bytes(3), ""); }), "length exceeds the message");
  EXPECT_EQ(failure_of("12"sv, [](ByteReader& reader) { EXPECT_EQ(reader.read_bytes(SIZE_MAX), ""); }),
            "length exceeds the message");
  EXPECT_EQ(failure_of("ab"sv, [](ByteReader& reader) { EXPECT_EQ(reader.read_cstring(), ""); }), "unterminated string");
  EXPECT_EQ(failure_of({}, [](ByteReader& reader) { EXPECT_EQ(reader.read_cstring(), ""); }), "unterminated string");
}

TEST(ByteReader, StaysFailedWithTheFirstReasonAndPlace) {
  ByteReader reader("abcdef"sv);
  reader.read_u16();
  reader.fail("first");
  reader.fail("second");
  EXPECT_EQ(reader.read_u8(), 0u);
  EXPECT_EQ(reader.read_cstring(), "");
  EXPECT_EQ(reader.read_bytes(1), "");
  EXPECT_EQ(reader.read_bytes(0), "");
  EXPECT_EQ(std::string_view(reader.failure()), "first");
  EXPECT_EQ(reader.position(), 2u);
  EXPECT_EQ(reader.remaining(), 0u);
}

}  // namespace
}  // namespace outboxx
