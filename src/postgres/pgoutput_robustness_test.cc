// What no server should send: cut, flipped and lying messages. Run under AddressSanitizer these tests also find reads outside
// the message, because each message is decoded from a buffer of just its size.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "postgres/pgoutput.h"
#include "postgres/pgoutput_testing.h"

namespace outboxx::pgoutput {
namespace {

// Beyond this size only a sample of the offsets is tried: the rest of a wide row is more of the same.
constexpr std::size_t kTriedInFull = 512;
constexpr std::size_t kStride = 211;

std::size_t next_offset(std::size_t offset) {
  return offset < kTriedInFull ? offset + 1 : offset + kStride;
}

const std::vector<std::string>& captured_messages() {
  static const std::vector<std::string> kMessages = [] {
    std::vector<std::string> all;
    for (const auto& path : capture_paths(std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "pgoutput")) {
      const auto capture = read_capture(path);
      EXPECT_TRUE(capture && !capture->empty()) << path;
      for (const CapturedMessage& captured : capture.value_or(std::vector<CapturedMessage>{})) {
        all.push_back(captured.data);
      }
    }
    return all;
  }();
  return kMessages;
}

enum class Outcome : std::uint8_t { kDecoded, kRefused, kWrong };

Outcome decode_exactly(Decoder& decoder, std::string_view data) {
  const std::vector<char> exact(data.begin(), data.end());
  const std::string_view bytes(exact.data(), exact.size());
  const auto message = decoder.decode(bytes, Lsn{1});
  if (!message) {
    return message.error().code == ErrorCode::kProtocol ? Outcome::kRefused : Outcome::kWrong;
  }
  return ViewCheck(bytes).holds(**message) ? Outcome::kDecoded : Outcome::kWrong;
}

TEST(PgoutputRobustness, RefusesEveryMessageThatIsCutOrTooLong) {
  Decoder decoder;
  ASSERT_FALSE(captured_messages().empty());
  for (const std::string& message : captured_messages()) {
    for (std::size_t size = 0; size < message.size(); size = next_offset(size)) {
      ASSERT_EQ(decode_exactly(decoder, std::string_view(message).substr(0, size)), Outcome::kRefused)
          << message.front() << " cut to " << size << " of " << message.size();
    }
    ASSERT_EQ(decode_exactly(decoder, message), Outcome::kDecoded) << message.front();
    ASSERT_EQ(decode_exactly(decoder, message + '\0'), Outcome::kRefused) << message.front();
  }
}

TEST(PgoutputRobustness, SurvivesAnyLengthAnywhere) {
  Decoder decoder;
  for (const std::string& message : captured_messages()) {
    for (std::size_t offset = 1; offset + 4 <= message.size(); offset = next_offset(offset)) {
      for (const std::uint32_t length : {0u, 0xFFFFFFFFu, 0x7FFFFFFFu, 0x80000000u, 0x00010000u}) {
        std::string damaged = message;
        for (std::size_t byte = 0; byte < 4; ++byte) {
          damaged[offset + byte] = static_cast<char>(length >> (24 - 8 * byte));
        }
        ASSERT_NE(decode_exactly(decoder, damaged), Outcome::kWrong) << message.front() << ' ' << offset << ' ' << length;
      }
    }
  }
}

TEST(PgoutputRobustness, SurvivesFlippedBytes) {
  const std::uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  Decoder decoder;
  std::size_t refused = 0;
  for (const std::string& message : captured_messages()) {
    for (int round = 0; round < 100; ++round) {
      std::string damaged = message;
      for (std::size_t flips = 1 + random() % 4; flips > 0; --flips) {
        // Nearly always in the head, where the structure is.
        const std::size_t range = random() % 8 == 0 ? damaged.size() : std::min<std::size_t>(damaged.size(), 64);
        damaged[random() % range] = static_cast<char>(random());
      }
      const Outcome outcome = decode_exactly(decoder, damaged);
      ASSERT_NE(outcome, Outcome::kWrong) << message.front() << " round " << round;
      refused += outcome == Outcome::kRefused ? 1 : 0;
    }
  }
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace outboxx::pgoutput
