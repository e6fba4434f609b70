#include "format/json_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>

namespace outboxx {
namespace {

using namespace std::string_literals;

std::string json_string(std::string_view text) {
  std::string out = "before";
  append_json_string(out, text);
  return out.substr(6);
}

// Written without the code under test; fails the test on anything that RFC 8259 does not allow in a string.
std::string unescape(std::string_view json) {
  std::string text;
  EXPECT_TRUE(json.size() >= 2 && json.front() == '"' && json.back() == '"') << json;
  for (std::size_t index = 1; index + 1 < json.size(); ++index) {
    EXPECT_TRUE(static_cast<unsigned char>(json[index]) >= 0x20 && json[index] != '"') << "raw at " << index;
    if (json[index] != '\\') {
      text.push_back(json[index]);
      continue;
    }
    const char letter = json[++index];
    const std::size_t known = std::string_view("\"\\/bfnrt").find(letter);
    if (known != std::string_view::npos) {
      text.push_back("\"\\/\b\f\n\r\t"[known]);
      continue;
    }
    EXPECT_EQ(letter, 'u');
    const auto code = std::strtoul(std::string(json.substr(index + 1, 4)).c_str(), nullptr, 16);
    EXPECT_LT(code, 0x20U);
    text.push_back(static_cast<char>(code));
    index += 4;
  }
  return text;
}

std::string plain(std::string_view text) {
  std::string out = "x";
  const bool appended = append_plain_decimal(out, text);
  EXPECT_EQ(out.front(), 'x');
  if (!appended) {
    EXPECT_EQ(out, "x");
    return "no number";
  }
  return out.substr(1);
}

bool is_json_integer(const std::string& text) {
  std::string out;
  const bool appended = append_json_integer(out, text);
  EXPECT_EQ(out, appended ? text : "");
  return appended;
}

std::string as_utf8(std::string_view text) {
  std::string out;
  append_as_utf8(out, text);
  EXPECT_EQ(is_utf8(text), out == text);
  EXPECT_TRUE(is_utf8(out));
  return out;
}

TEST(JsonString, EscapesWhatJsonDemandsAndNothingElse) {
  EXPECT_EQ(json_string(""), R"("")");
  EXPECT_EQ(json_string("\"\\/"), R"("\"\\/")");
  EXPECT_EQ(json_string("\0\x01\b\t\n\x0B\f\r\x1F"s), R"("\u0000\u0001\b\t\n\u000b\f\r\u001f")");
  EXPECT_EQ(json_string("\x7F\xC3\xA4\xE2\x80\xA8\xF0\x9F\x98\x80<>&'"), "\"\x7F\xC3\xA4\xE2\x80\xA8\xF0\x9F\x98\x80<>&'\"");
}

TEST(JsonString, PutsThePrefixBeforeIt) {
  std::string out = "{";
  append_json_string(out, "v\"", "\"name\":");
  EXPECT_EQ(out, R"({"name":"v\"")");
}

// The text is an allocation of its exact size, so that the address sanitizer sees a read outside it.
void expect_escaped_alone(std::size_t size, std::size_t position, int byte) {
  const auto text = std::make_unique<char[]>(size);
  std::ranges::fill_n(text.get(), static_cast<std::ptrdiff_t>(size), 'a');
  text[position] = static_cast<char>(byte);
  const std::string_view view(text.get(), size);
  const std::string json = json_string(view);
  const bool escaped = byte < 0x20 || byte == '"' || byte == '\\';
  ASSERT_EQ(unescape(json), view) << "size " << size << ", byte " << byte << " at " << position;
  ASSERT_EQ(json.size() == size + 2, !escaped) << "size " << size << ", byte " << byte << " at " << position;
}

// The code takes another path for fewer than 4, 8, 16 and 32 bytes.
TEST(JsonString, EscapesEachByteAtEachPosition) {
  for (std::size_t size = 1; size <= 50; ++size) {
    for (std::size_t position = 0; position < size; ++position) {
      for (const int byte : {0x00, 0x1F, 0x20, 0x21, 0x22, 0x23, 0x5B, 0x5C, 0x5D, 0x7F, 0x80, 0xFF}) {
        expect_escaped_alone(size, position, byte);
      }
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    for (const std::size_t size : {3U, 7U, 15U, 40U}) {
      expect_escaped_alone(size, size / 2, byte);
    }
  }
}

TEST(JsonString, RandomTextsComeBack) {
  const std::uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 3000; ++round) {
    std::string text(random() % (round % 100 == 0 ? 5000 : 100), '\0');
    const unsigned dirty = random() % 4;  // from every byte needing an escape to hardly any
    for (char& c : text) {
      c = random() % (1U << (2 * dirty)) == 0 ? "\"\\\n\x01\x1F"[random() % 5] : static_cast<char>(random());
    }
    ASSERT_EQ(unescape(json_string(text)), text);
  }
}

TEST(JsonString, ALongTextDoesNotReserveTheWorstCase) {
  const std::string text(1 << 20, 'a');
  std::string out;
  append_json_string(out, text);
  EXPECT_EQ(out.size(), text.size() + 2);
  EXPECT_LT(out.capacity(), 3 * text.size());
}

TEST(JsonInteger, TakesWhatPostgresSends) {
  for (const char* text : {"0", "7", "-1", "32767", "-2147483648", "9223372036854775807", "-9223372036854775808"}) {
    EXPECT_TRUE(is_json_integer(text)) << text;
  }
}

TEST(JsonInteger, RefusesWhatJsonDoesNotAllow) {
  for (const char* text : {"", "-", "+1", "01", "-01", "1.0", "1e3", " 1", "1 ", "0x1", "NaN", "92233720368547758070"}) {
    EXPECT_FALSE(is_json_integer(text)) << text;
  }
}

TEST(PlainDecimal, CopiesWhatHasNoExponent) {
  for (const char* text : {"0", "-0", "1", "100", "0.1", "-12345.678901", "0.30000000000000004", "4.35"}) {
    EXPECT_EQ(plain(text), text);
  }
}

TEST(PlainDecimal, MovesThePointByTheExponent) {
  EXPECT_EQ(plain("1e+15"), "1000000000000000");
  EXPECT_EQ(plain("-1.5e+30"), "-1500000000000000000000000000000");
  EXPECT_EQ(plain("1.2345678901234568e+17"), "123456789012345680");
  EXPECT_EQ(plain("1.25e+1"), "12.5");
  EXPECT_EQ(plain("1.25e+2"), "125");
  EXPECT_EQ(plain("1.5e0"), "1.5");
  EXPECT_EQ(plain("1e-07"), "0.0000001");
  EXPECT_EQ(plain("-2.5e-05"), "-0.000025");
  EXPECT_EQ(plain("1.5e-1"), "0.15");
  EXPECT_EQ(plain("5e-324"), "0." + std::string(323, '0') + "5");
  EXPECT_EQ(plain("1.7976931348623157e+308"), "17976931348623157" + std::string(292, '0'));
}

// 1e23 lies exactly between two doubles.
TEST(PlainDecimal, IsTheShortestThatReadsBackWhereTheServersIsNot) {
  EXPECT_EQ(plain("9.999999999999999e+22"), "1" + std::string(23, '0'));
  EXPECT_EQ(plain("-9.999999999999999e+22"), "-1" + std::string(23, '0'));
  EXPECT_EQ(plain("1.0000000000000001e+23"), "100000000000000010000000");
  EXPECT_EQ(plain("2.2250738585072014e-308"), "0." + std::string(307, '0') + "22250738585072014");
}

TEST(PlainDecimal, RefusesWhatIsNoNumberOfPostgres) {
  for (const char* text :
       {"",      "-",    "NaN", "Infinity", "-Infinity", "+1",    "01",     ".5",           "1.",     "1e",  "1e+",
        "1e+-5", "1e 5", "1E5", "0e5",      "0.5e3",     "1e401", "1e-401", "1e9999999999", "1.5e3x", "1_0", "0x10"}) {
    EXPECT_EQ(plain(text), "no number") << text;
  }
}

// What strtod() reads from the plain text is what it reads from the text of the server.
TEST(PlainDecimal, KeepsTheValueOfRandomNumbers) {
  const std::uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20'000; ++round) {
    const int exponent = static_cast<int>(random() % 600) - 300;
    std::string text = std::to_string(1 + random() % 9);
    if (random() % 4 != 0) {
      text += '.' + std::to_string(random() % 1'000'000'000'000'000);
    }
    text += (exponent < 0 ? "e-" : "e+") + std::to_string(std::abs(exponent));
    const std::string result = plain(text);
    ASSERT_EQ(result.find_first_not_of("0123456789."), std::string::npos) << result;
    ASSERT_EQ(std::strtod(result.c_str(), nullptr), std::strtod(text.c_str(), nullptr)) << text;
  }
}

TEST(Utf8, KeepsWhatIsWellFormed) {
  for (const std::string& text : {""s, "a\0b"s, "\x7F"s, "\xC2\x80"s, "\xDF\xBF"s, "\xE0\xA0\x80"s, "\xED\x9F\xBF"s,
                                  "\xEE\x80\x80"s, "\xEF\xBF\xBF"s, "\xF0\x90\x80\x80"s, "\xF4\x8F\xBF\xBF"s}) {
    EXPECT_EQ(as_utf8(text), text);
  }
}

TEST(Utf8, ReplacesEachMaximalIllFormedPartOnce) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(as_utf8("a\xFF\xFE"
                    "b"),
            "a" + bad + bad + "b");
  EXPECT_EQ(as_utf8("\x80"), bad);
  EXPECT_EQ(as_utf8("\xC0\xAF"), bad + bad);                      // overlong
  EXPECT_EQ(as_utf8("\xE0\x80\x80"), bad + bad + bad);            // overlong
  EXPECT_EQ(as_utf8("\xED\xA0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(as_utf8("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // beyond U+10FFFF
  EXPECT_EQ(as_utf8("\xF5"
                    "a"),
            bad + "a");
  EXPECT_EQ(as_utf8("\xE2\x82"
                    "a"),
            bad + "a");                     // cut short
  EXPECT_EQ(as_utf8("\xF0\x9F\x98"), bad);  // at the end
  EXPECT_EQ(as_utf8("\xC3"), bad);
  // The example of the Unicode standard, table 3-8.
  EXPECT_EQ(as_utf8("a\xF1\x80\x80\xE1\x80\xC2"
                    "b\x80"
                    "c\x80\xBF"
                    "d"),
            "a" + bad + bad + bad + "b" + bad + "c" + bad + bad + "d");
}

}  // namespace
}  // namespace outboxx
