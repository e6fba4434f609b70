#include "model/flat_json.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace outboxx {
namespace {

TEST(FlatJson, ReadsWhatItWrites) {
  const std::string text("quote \" slash \\ line \n nul \0 snowman \xE2\x98\x83", 34);
  FlatJsonWriter writer;
  writer.add("text", text);
  writer.add("n\"ame", "");
  writer.add("number", std::numeric_limits<std::uint64_t>::max());

  const auto json = parse_flat_json(std::move(writer).finish());

  ASSERT_TRUE(json);
  EXPECT_EQ(*json, (FlatJson{{"text", text}, {"n\"ame", ""}, {"number", std::numeric_limits<std::uint64_t>::max()}}));
}

TEST(FlatJson, ReadsBlanksAndEscapes) {
  const auto json = parse_flat_json(" { \"a\" : \"\\u0041\\u00e9\\u2603\\n\\/\" ,\n\"b\":0 } ");
  ASSERT_TRUE(json);
  EXPECT_EQ(*json, (FlatJson{{"a", "A\xC3\xA9\xE2\x98\x83\n/"}, {"b", std::uint64_t{0}}}));
  EXPECT_TRUE(parse_flat_json("{}"));
}

TEST(FlatJson, RefusesEverythingElse) {
  constexpr auto kTexts = std::to_array<std::string_view>({
      "",
      "null",
      "[]",
      "{",
      "}",
      "{\"a\"}",
      "{\"a\":}",
      "{\"a\":1,}",
      "{\"a\":1 \"b\":2}",
      "{\"a\":-1}",
      "{\"a\":1.5}",
      "{\"a\":18446744073709551616}",
      "{\"a\":true}",
      "{\"a\":{}}",
      "{\"a\":\"",
      "{\"a\":\"\\",
      "{\"a\":\"\\u00",
      "{\"a\":\"\\x\"}",
      "{\"a\":\"\\ud800\"}",
      "{\"a\":\"\n\"}",
      "{\"a\":1}x",
      "{\"a\":1,\"a\":2}",
      "{1:1}",
      "{\"a\":+1}",
  });
  for (const std::string_view text : kTexts) {
    EXPECT_FALSE(parse_flat_json(text)) << text;
  }
  EXPECT_FALSE(parse_flat_json("{\"a\":\"" + std::string(100'000, 'x') + "\"}"));
}

// Each beginning of a document is refused, and none is read past its end (the sanitizer build sees that).
TEST(FlatJson, RefusesCutDocuments) {
  const std::string text = R"({"text":"a\u0041\"","number":12345,"last":"x"})";
  ASSERT_TRUE(parse_flat_json(text));
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(parse_flat_json(std::string(text, 0, size))) << size;
  }
}

}  // namespace
}  // namespace outboxx
