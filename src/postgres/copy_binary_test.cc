#include "postgres/copy_binary.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/change.h"
#include "postgres/binary_text.h"
#include "postgres/copy_testing.h"

namespace outboxx {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view kHeader = "PGCOPY\n\xFF\r\n\0\0\0\0\0\0\0\0\0"sv;
constexpr std::string_view kTrailer = "\xFF\xFF"sv;
constexpr std::string_view kRow = "\0\2\0\0\0\4\0\0\0\7\0\0\0\2ab"sv;  // 7, 'ab'

CopyDecoder decoder_of_integer_and_text() {
  return CopyDecoder({find_binary_type(23, {.server_version = 150000, .time_zone = "UTC"}), nullptr});
}

std::string operator+(std::string_view first, std::string_view second) {
  return std::string(first).append(second);
}

// "7|ab", "~" for NULL; "nothing"; or the error's message.
std::string decode(CopyDecoder& decoder, std::string_view data) {
  const std::vector<char> exact(data.begin(), data.end());  // so that AddressSanitizer sees a read beyond
  const auto row = decoder.decode(std::string_view(exact.data(), exact.size()));
  if (!row) {
    EXPECT_EQ(row.error().code, ErrorCode::kProtocol);
    return row.error().message;
  }
  if (!*row) {
    return "nothing";
  }
  std::string out;
  for (const Value& value : **row) {
    EXPECT_TRUE(value.kind == ValueKind::kText || (value.kind == ValueKind::kNull && value.bytes.empty()));
    out += out.empty() ? "" : "|";
    out += value.kind == ValueKind::kNull ? "~" : value.bytes;
  }
  return out;
}

TEST(CopyDecoder, HeaderComesWithTheFirstRowOrAlone) {
  CopyDecoder together = decoder_of_integer_and_text();
  EXPECT_EQ(decode(together, kHeader + kRow), "7|ab");
  EXPECT_EQ(decode(together, kRow), "7|ab");
  EXPECT_EQ(decode(together, kTrailer), "nothing");
  EXPECT_TRUE(together.finish());

  CopyDecoder alone = decoder_of_integer_and_text();
  EXPECT_EQ(decode(alone, kHeader), "nothing");
  EXPECT_EQ(decode(alone, kRow), "7|ab");
}

TEST(CopyDecoder, CapturesHaveTheTextThatTheServerPrinted) {
  const auto captures = read_copy_captures(std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "copy_binary");
  ASSERT_FALSE(captures.empty());
  for (const CopyCapture& capture : captures) {
    CopyDecoder decoder(capture.types());
    std::string text;
    for (const std::string& message : capture.messages) {
      const auto row = decoder.decode(message);
      ASSERT_TRUE(row) << capture.name << ": " << row.error().message;
      if (*row) {
        append_copy_line(text, **row);
      }
    }
    EXPECT_EQ(text, capture.text) << capture.name;
    EXPECT_TRUE(decoder.finish()) << capture.name;
  }
}

TEST(CopyDecoder, EmptyTableIsHeaderAndTrailer) {
  CopyDecoder decoder = decoder_of_integer_and_text();
  EXPECT_EQ(decode(decoder, kHeader + kTrailer), "nothing");
  EXPECT_TRUE(decoder.finish());
}

TEST(CopyDecoder, NullIsNotTheEmptyText) {
  CopyDecoder decoder = decoder_of_integer_and_text();
  EXPECT_EQ(decode(decoder, kHeader + "\0\2\xFF\xFF\xFF\xFF\0\0\0\0"sv), "~|");
  EXPECT_EQ(decode(decoder, "\0\2\0\0\0\4\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv), "-1|~");
}

TEST(CopyDecoder, RowWithoutColumnsIsARow) {
  CopyDecoder decoder({});
  EXPECT_EQ(decode(decoder, kHeader + "\0\0"sv), "");
}

TEST(CopyDecoder, TextsOfARowLiveTogether) {
  const BinaryType* const uuid = find_binary_type(2950, {.server_version = 150000, .time_zone = "UTC"});
  CopyDecoder decoder({uuid, uuid});
  const std::string first(16, '\x11');
  const std::string second(16, '\x22');
  EXPECT_EQ(decode(decoder, kHeader + "\0\2\0\0\0\x10"sv + first + "\0\0\0\x10"sv + second),
            "11111111-1111-1111-1111-111111111111|22222222-2222-2222-2222-222222222222");
}

TEST(CopyDecoder, HeaderMayHaveFlagsAndAnExtensionThatAReaderSkips) {
  CopyDecoder decoder = decoder_of_integer_and_text();
  EXPECT_EQ(decode(decoder, kHeader.substr(0, 11) + "\0\0\xFF\xFF\0\0\0\3abc"sv + kRow), "7|ab");
}

TEST(CopyDecoder, RefusesAHeaderThatItDoesNotKnow) {
  CopyDecoder flags = decoder_of_integer_and_text();
  EXPECT_EQ(decode(flags, kHeader.substr(0, 11) + "\0\1\0\0\0\0\0\0"sv),
            "could not decode binary COPY message (length 19): unknown flags after 15 bytes");
  CopyDecoder text = decoder_of_integer_and_text();
  EXPECT_EQ(decode(text, "7\tab\n0123456789"),
            "could not decode binary COPY message (length 15): no signature of binary COPY after 11 bytes");
}

TEST(CopyDecoder, ColumnAndTypeOfAMalformedValueAreNamed) {
  CopyDecoder decoder = decoder_of_integer_and_text();
  EXPECT_EQ(decode(decoder, kHeader + "\0\2\0\0\0\3abc\0\0\0\0"sv),
            "column 1 of binary COPY: could not decode binary value of type integer (length 3)");
}

TEST(CopyDecoder, RefusesOtherColumnsThanItsOwn) {
  CopyDecoder decoder = decoder_of_integer_and_text();
  EXPECT_EQ(decode(decoder, kHeader + "\0\1\0\0\0\0"sv),
            "could not decode binary COPY message (length 25): unexpected number of columns after 21 bytes");
}

TEST(CopyDecoder, RefusesEveryRowThatIsCutOrTooLong) {
  for (std::size_t size = 0; size < kRow.size(); ++size) {
    CopyDecoder decoder = decoder_of_integer_and_text();
    EXPECT_EQ(decode(decoder, kHeader), "nothing");
    // A message of no bytes says nothing; a server never sends one.
    EXPECT_EQ(decode(decoder, kRow.substr(0, size)).starts_with("could not decode"), size > 0) << size;
  }
  CopyDecoder decoder = decoder_of_integer_and_text();
  EXPECT_EQ(decode(decoder, kHeader + kRow + kRow),
            "could not decode binary COPY message (length 51): trailing bytes after 35 bytes");
  EXPECT_EQ(decode(decoder, "\0\2\xFF\xFF\xFF\xFE"sv),
            "could not decode binary COPY message (length 6): negative length after 6 bytes");
}

TEST(CopyDecoder, NothingComesAfterTheTrailer) {
  CopyDecoder decoder = decoder_of_integer_and_text();
  EXPECT_EQ(decode(decoder, kHeader + kTrailer), "nothing");
  EXPECT_EQ(decode(decoder, kRow), "could not decode binary COPY message (length 16): data after the trailer after 0 bytes");
}

TEST(CopyDecoder, TheTrailerIsMissed) {
  CopyDecoder decoder = decoder_of_integer_and_text();
  EXPECT_FALSE(decoder.finish());
  EXPECT_EQ(decode(decoder, kHeader + kRow), "7|ab");
  ASSERT_FALSE(decoder.finish());
  EXPECT_EQ(decoder.finish().error().message, "binary COPY ended without its trailer");
}

}  // namespace
}  // namespace outboxx
