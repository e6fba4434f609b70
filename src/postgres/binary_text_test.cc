// Each type with values whose text is known; millions of random ones are compared with servers by
// tests/integration/test_copy_binary.py.
#include "postgres/binary_text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace outboxx {
namespace {

constexpr BinaryTextFacts kServer15{.server_version = 150020, .time_zone = "UTC"};
constexpr BinaryTextFacts kServer18{.server_version = 180000, .time_zone = "UTC"};

// "00ff 10": spaces are for the reader.
std::string from_hex(std::string_view hex) {
  std::string digits;
  for (const char digit : hex) {
    digits.append(digit == ' ' ? 0 : 1, digit);
  }
  std::string bytes;
  for (std::size_t index = 0; index + 1 < digits.size(); index += 2) {
    bytes.push_back(static_cast<char>(std::strtoul(digits.substr(index, 2).c_str(), nullptr, 16)));
  }
  return bytes;
}

template <typename Integer>
std::string big_endian(Integer number) {
  std::string bytes;
  for (int shift = sizeof number * 8 - 8; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(static_cast<std::uint64_t>(number) >> shift));
  }
  return bytes;
}

std::string text(std::uint32_t oid, std::string_view bytes, const BinaryTextFacts& facts = kServer15) {
  const BinaryType* const type = find_binary_type(oid, facts);
  if (type == nullptr) {
    return "no binary text";
  }
  std::string scratch = "left over";
  const auto made = text_of(*type, bytes, scratch);
  return made ? std::string(*made) : made.error().message;
}

std::string float8(double value) {
  return text(701, big_endian(std::bit_cast<std::uint64_t>(value)));
}
std::string float4(float value) {
  return text(700, big_endian(std::bit_cast<std::uint32_t>(value)));
}
std::string numeric(std::string_view hex) {
  return text(1700, from_hex(hex));
}
std::string date(std::int32_t days) {
  return text(1082, big_endian(days));
}
std::string timestamp(std::int64_t microseconds) {
  return text(1114, big_endian(microseconds));
}
std::string interval(std::int64_t microseconds, std::int32_t days, std::int32_t months,
                     const BinaryTextFacts& facts = kServer15) {
  return text(1186, big_endian(microseconds) + big_endian(days) + big_endian(months), facts);
}
std::string inet(std::string_view hex) {
  return text(869, from_hex(hex));
}

TEST(BinaryText, Integers) {
  EXPECT_EQ(text(21, from_hex("8000")), "-32768");
  EXPECT_EQ(text(21, from_hex("7fff")), "32767");
  EXPECT_EQ(text(23, from_hex("80000000")), "-2147483648");
  EXPECT_EQ(text(23, from_hex("0000002a")), "42");
  EXPECT_EQ(text(20, from_hex("8000000000000000")), "-9223372036854775808");
  EXPECT_EQ(text(20, from_hex("7fffffffffffffff")), "9223372036854775807");
  EXPECT_EQ(text(26, from_hex("ffffffff")), "4294967295");
}

TEST(BinaryText, TextsAreViewsIntoTheBytes) {
  const std::string bytes = from_hex("c3a4 5c0a 20");
  for (const std::uint32_t oid : {19U, 25U, 114U, 1042U, 1043U}) {
    std::string scratch;
    const auto made = text_of(*find_binary_type(oid, kServer15), bytes, scratch);
    ASSERT_TRUE(made);
    EXPECT_EQ(made->data(), bytes.data()) << oid;
    EXPECT_EQ(made->size(), bytes.size()) << oid;
  }
  EXPECT_EQ(text(25, ""), "");
}

TEST(BinaryText, JsonbHasAVersionBeforeItsText) {
  EXPECT_EQ(text(3802, "\x01{}"), "{}");
  EXPECT_EQ(text(3802, "\x02{}"), "could not decode binary value of type jsonb (length 3)");
  EXPECT_EQ(text(3802, ""), "could not decode binary value of type jsonb (length 0)");
}

TEST(BinaryText, BoolByteaUuidLsnChar) {
  EXPECT_EQ(text(16, from_hex("01")), "t");
  EXPECT_EQ(text(16, from_hex("00")), "f");
  EXPECT_EQ(text(17, ""), "\\x");
  EXPECT_EQ(text(17, from_hex("00ff10")), "\\x00ff10");
  EXPECT_EQ(text(2950, from_hex("a0eebc99 9c0b4ef8 bb6d6bb9 bd380a11")), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
  EXPECT_EQ(text(3220, from_hex("00000016 0374d848")), "16/374D848");
  EXPECT_EQ(text(18, from_hex("00"), kServer18), "");
  EXPECT_EQ(text(18, "a", kServer18), "a");
  EXPECT_EQ(text(18, from_hex("ff"), kServer18), "\\377");
  EXPECT_EQ(text(18, from_hex("80"), kServer18), "\\200");
}

TEST(BinaryText, FloatsHaveTheShortestDigitsThatReadBack) {
  EXPECT_EQ(float8(0.1), "0.1");
  EXPECT_EQ(float8(-1.5), "-1.5");
  EXPECT_EQ(float8(9007199254740993.0), "9.007199254740992e+15");
  EXPECT_EQ(float8(5e-324), "5e-324");
  EXPECT_EQ(float8(1.7976931348623157e308), "1.7976931348623157e+308");
  EXPECT_EQ(float4(0.1F), "0.1");
  EXPECT_EQ(float4(1e-45F), "1e-45");
  EXPECT_EQ(float4(3.4028235e38F), "3.4028235e+38");
}

TEST(BinaryText, FloatsHaveAnExponentBeyondTheirPrecision) {
  EXPECT_EQ(float8(1e14), "100000000000000");
  EXPECT_EQ(float8(1e15), "1e+15");
  EXPECT_EQ(float8(123456789012345.6), "123456789012345.6");
  EXPECT_EQ(float8(0.0001), "0.0001");
  EXPECT_EQ(float8(0.00012), "0.00012");
  EXPECT_EQ(float8(0.00001), "1e-05");
  EXPECT_EQ(float8(-1.25e-100), "-1.25e-100");
  EXPECT_EQ(float4(999999.0F), "999999");
  EXPECT_EQ(float4(1e6F), "1e+06");
}

TEST(BinaryText, FloatsThatAreNoNumbers) {
  EXPECT_EQ(float8(0.0), "0");
  EXPECT_EQ(float8(-0.0), "-0");
  EXPECT_EQ(float8(-std::numeric_limits<double>::quiet_NaN()), "NaN");
  EXPECT_EQ(float8(std::numeric_limits<double>::infinity()), "Infinity");
  EXPECT_EQ(float4(-std::numeric_limits<float>::infinity()), "-Infinity");
}

// 10^23 and the others lie midway between two floats: as digits they read back, and std::to_chars writes them.
TEST(BinaryText, FloatsNeverTakeDigitsMidwayBetweenTwoOfThem) {
  EXPECT_EQ(float8(1e23), "9.999999999999999e+22");
  EXPECT_EQ(float4(3e10F), "3.0000001e+10");
  EXPECT_EQ(float4(9e9F), "8.999999e+09");
}

TEST(BinaryText, NumericsKeepTheirScale) {
  EXPECT_EQ(numeric("0000 0000 0000 0000"), "0");
  EXPECT_EQ(numeric("0000 0000 0000 0002"), "0.00");
  EXPECT_EQ(numeric("0002 0000 0000 0002 000c 1388"), "12.50");
  EXPECT_EQ(numeric("0002 0000 4000 0001 000c 1388"), "-12.5");
  EXPECT_EQ(numeric("0001 0002 0000 0000 0001"), "100000000");
  EXPECT_EQ(numeric("0003 0001 0000 0006 0001 0000 0001"), "10000.000100");
  EXPECT_EQ(numeric("0001 ffff 0000 0003 000a"), "0.001");
  EXPECT_EQ(numeric("0001 fffe 0000 000a 04d2"), "0.0000123400");
  EXPECT_EQ(numeric("0001 ffff 0000 0000 270f"), "0");
}

TEST(BinaryText, NumericsThatAreNoNumbers) {
  EXPECT_EQ(numeric("0000 0000 c000 0000"), "NaN");
  EXPECT_EQ(numeric("0000 0000 d000 0020"), "Infinity");
  EXPECT_EQ(numeric("0000 0000 f000 0020"), "-Infinity");
}

TEST(BinaryText, NumericsAsLongAsTheyGet) {
  EXPECT_EQ(numeric("0001 7fff 0000 0000 0001"), "1" + std::string(4UL * 0x7FFF, '0'));
  EXPECT_EQ(numeric("0000 8000 0000 3fff"), "0." + std::string(0x3FFF, '0'));
}

TEST(BinaryText, NumericsThatAreMalformed) {
  for (const char* hex : {"", "0000 0000 0000", "0001 0000 0000 0000", "0000 0000 0000 0000 00", "0001 0000 0000 0000 2710",
                          "0000 0000 1000 0000", "0000 0000 0000 4000", "ffff 0000 0000 0000"}) {
    EXPECT_EQ(numeric(hex),
              "could not decode binary value of type numeric (length " + std::to_string(from_hex(hex).size()) + ")");
  }
}

TEST(BinaryText, Dates) {
  EXPECT_EQ(date(0), "2000-01-01");
  EXPECT_EQ(date(-1), "1999-12-31");
  EXPECT_EQ(date(59), "2000-02-29");
  EXPECT_EQ(date(8825), "2024-02-29");
  EXPECT_EQ(date(-36465), "1900-03-01");
  EXPECT_EQ(date(-730119), "0001-01-01");
  EXPECT_EQ(date(-730120), "0001-12-31 BC");
  EXPECT_EQ(date(-2451545), "4714-11-24 BC");
  EXPECT_EQ(date(2921940), "10000-01-01");
  EXPECT_EQ(date(2145031948), "5874897-12-31");
  EXPECT_EQ(date(std::numeric_limits<std::int32_t>::max()), "infinity");
  EXPECT_EQ(date(std::numeric_limits<std::int32_t>::min()), "-infinity");
}

TEST(BinaryText, Timestamps) {
  EXPECT_EQ(timestamp(0), "2000-01-01 00:00:00");
  EXPECT_EQ(timestamp(-1), "1999-12-31 23:59:59.999999");
  EXPECT_EQ(timestamp(762525296780000), "2024-02-29 12:34:56.78");
  EXPECT_EQ(timestamp(-63'082'281'600'000'000 - 500'000), "0001-12-31 23:59:59.5 BC");
  EXPECT_EQ(timestamp(std::numeric_limits<std::int64_t>::min() + 1), "290279-12-22 19:59:05.224193 BC");  // no server has it
  EXPECT_EQ(timestamp(std::numeric_limits<std::int64_t>::max()), "infinity");
  EXPECT_EQ(timestamp(std::numeric_limits<std::int64_t>::min()), "-infinity");
  EXPECT_EQ(text(1184, big_endian(std::int64_t{762525296780000})), "2024-02-29 12:34:56.78+00");
  EXPECT_EQ(text(1184, big_endian(std::int64_t{-63'082'281'600'000'001})), "0001-12-31 23:59:59.999999+00 BC");
}

TEST(BinaryText, TimesOfDay) {
  EXPECT_EQ(text(1083, big_endian(std::int64_t{0})), "00:00:00");
  EXPECT_EQ(text(1083, big_endian(std::int64_t{86'400'000'000})), "24:00:00");
  EXPECT_EQ(text(1083, big_endian(std::int64_t{45'296'700'000})), "12:34:56.7");
  EXPECT_EQ(text(1083, big_endian(std::int64_t{86'400'000'001})), "could not decode binary value of type time (length 8)");
  EXPECT_EQ(text(1083, big_endian(std::int64_t{-1})), "could not decode binary value of type time (length 8)");
  const std::string noon = big_endian(std::int64_t{43'200'000'000});
  EXPECT_EQ(text(1266, noon + big_endian(0)), "12:00:00+00");
  EXPECT_EQ(text(1266, noon + big_endian(-19'800)), "12:00:00+05:30");
  EXPECT_EQ(text(1266, noon + big_endian(57'599)), "12:00:00-15:59:59");
  EXPECT_EQ(text(1266, noon + big_endian(3'601)), "12:00:00-01:00:01");
  EXPECT_EQ(text(1266, noon + big_endian(57'600)), "could not decode binary value of type timetz (length 12)");
}

TEST(BinaryText, Intervals) {
  EXPECT_EQ(interval(0, 0, 0), "00:00:00");
  EXPECT_EQ(interval(14'706'700'000, 3, 14), "1 year 2 mons 3 days 04:05:06.7");
  EXPECT_EQ(interval(100'000, -1, 0), "-1 days +00:00:00.1");
  EXPECT_EQ(interval(-10'800'000'000, 2, -1), "-1 mons +2 days -03:00:00");
  EXPECT_EQ(interval(0, 1, -12), "-1 years +1 day");
  EXPECT_EQ(interval(3'600'000'000, 2, -1), "-1 mons +2 days 01:00:00");
  EXPECT_EQ(interval(std::numeric_limits<std::int64_t>::min(), 0, 0), "-2562047788:00:54.775808");
}

TEST(BinaryText, IntervalsAreInfiniteFrom17On) {
  constexpr auto kUs = std::numeric_limits<std::int64_t>::max();
  constexpr auto kNumber = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(interval(kUs, kNumber, kNumber), "178956970 years 7 mons 2147483647 days 2562047788:00:54.775807");
  EXPECT_EQ(interval(kUs, kNumber, kNumber, kServer18), "infinity");
  EXPECT_EQ(interval(-kUs - 1, -kNumber - 1, -kNumber - 1, kServer18), "-infinity");
  EXPECT_EQ(interval(kUs, kNumber, 1, kServer18), "1 mon 2147483647 days 2562047788:00:54.775807");
}

TEST(BinaryText, Networks) {
  EXPECT_EQ(inet("02 20 00 04 0a010203"), "10.1.2.3");
  EXPECT_EQ(inet("02 08 00 04 0a010203"), "10.1.2.3/8");
  EXPECT_EQ(text(650, from_hex("02 20 01 04 0a010203")), "10.1.2.3/32");
  EXPECT_EQ(inet("03 80 00 10 0000 0000 0000 0000 0000 0000 0000 0000"), "::");
  EXPECT_EQ(inet("03 80 00 10 0000 0000 0000 0000 0000 0000 0000 0002"), "::2");
  EXPECT_EQ(inet("03 80 00 10 0001 0000 0000 0000 0000 0000 0000 0000"), "1::");
  EXPECT_EQ(inet("03 80 00 10 0001 0000 0002 0003 0000 0000 0004 0005"), "1:0:2:3::4:5");
  EXPECT_EQ(inet("03 80 00 10 0001 0000 0000 0003 0000 0000 0004 0005"), "1::3:0:0:4:5");
  EXPECT_EQ(inet("03 80 00 10 0000 0000 0000 0000 0000 ffff 0102 0304"), "::ffff:1.2.3.4");
  EXPECT_EQ(inet("03 40 00 10 0000 0000 0000 0000 0000 0000 0102 0304"), "::1.2.3.4/64");
  EXPECT_EQ(inet("03 80 00 10 2001 0db8 0000 0000 0000 ffff 0102 0304"), "2001:db8::ffff:102:304");
  EXPECT_EQ(text(829, from_hex("08002b010203")), "08:00:2b:01:02:03");
  EXPECT_EQ(text(774, from_hex("08002b0102030405")), "08:00:2b:01:02:03:04:05");
}

TEST(BinaryText, NetworksThatAreMalformed) {
  for (const char* hex : {"", "02 20 00 04 0a0102", "02 20 00 04 0a01020304", "02 21 00 04 0a010203", "04 20 00 04 0a010203",
                          "03 20 00 04 0a010203"}) {
    EXPECT_EQ(inet(hex), "could not decode binary value of type inet (length " + std::to_string(from_hex(hex).size()) + ")");
  }
}

TEST(BinaryText, NoOtherLengthThanThatOfTheTypeIsDecoded) {
  struct Fixed {
    std::uint32_t oid;
    const char* name;
    std::size_t length;
  };
  const std::vector<Fixed> types = {
      {16, "bool", 1},        {18, "\"char\"", 1},      {20, "bigint", 8},      {21, "smallint", 2},
      {23, "integer", 4},     {26, "oid", 4},           {700, "real", 4},       {701, "double precision", 8},
      {774, "macaddr8", 8},   {829, "macaddr", 6},      {1082, "date", 4},      {1083, "time", 8},
      {1114, "timestamp", 8}, {1184, "timestamptz", 8}, {1186, "interval", 16}, {1266, "timetz", 12},
      {2950, "uuid", 16},     {3220, "pg_lsn", 8}};
  for (const Fixed& type : types) {
    for (const std::size_t length : {std::size_t{0}, type.length - 1, type.length + 1}) {
      EXPECT_EQ(text(type.oid, std::string(length, '\0'), kServer18),
                std::string("could not decode binary value of type ") + type.name + " (length " + std::to_string(length) + ")");
    }
    EXPECT_NE(text(type.oid, std::string(type.length, '\0'), kServer18), "no binary text");
  }
}

TEST(BinaryText, WhatIsNotKnownToBeTheSameIsLeftToTheServer) {
  EXPECT_FALSE(has_binary_text(1184, {.server_version = 150020, .time_zone = "Europe/Berlin"}));
  EXPECT_FALSE(has_binary_text(1184, {.server_version = 150020, .time_zone = ""}));
  EXPECT_TRUE(has_binary_text(1184, {.server_version = 150020, .time_zone = "Etc/UTC"}));
  EXPECT_FALSE(has_binary_text(18, kServer15));
  EXPECT_TRUE(has_binary_text(18, kServer18));
  EXPECT_FALSE(has_binary_text(3220, {.server_version = 190000, .time_zone = "UTC"}));
  for (const std::uint32_t oid : {0U, 142U, 790U, 1007U, 1560U, 3904U, 16'384U}) {  // xml, money, int4[], bit, int4range
    EXPECT_FALSE(has_binary_text(oid, kServer15)) << oid;
  }
}

}  // namespace
}  // namespace outboxx
