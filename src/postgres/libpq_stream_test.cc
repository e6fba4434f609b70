#include "postgres/libpq_stream.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "postgres/replication_stream.h"

namespace outboxx {
namespace {

using std::string_literals::operator""s;

const std::string kWalFrame =
    "w"
    "\x00\x00\x00\x01\x02\x03\x04\x05"
    "\x00\x00\x00\x02\x0a\x0b\x0c\x0d"
    "\x00\x00\x00\x00\x00\x00\x00\x07"
    "Bdata"s;
const std::string kKeepaliveFrame =
    "k"
    "\x00\x00\x00\x01\x02\x03\x04\x05"
    "\x00\x00\x00\x00\x00\x00\x00\x07"
    "\x01"s;

TEST(ParseStreamMessage, ReadsWalDataAndPointsIntoTheFrame) {
  const auto message = parse_stream_message(kWalFrame);
  ASSERT_TRUE(message.has_value());
  const auto& wal = std::get<WalData>(*message);
  EXPECT_EQ(to_string(wal.start), "1/2030405");
  EXPECT_EQ(to_string(wal.wal_end), "2/A0B0C0D");
  EXPECT_EQ(wal.data, "Bdata");
  EXPECT_EQ(wal.data.data(), kWalFrame.data() + 25);
}

TEST(ParseStreamMessage, ReadsWalDataWithoutData) {
  const auto message = parse_stream_message(std::string_view(kWalFrame).substr(0, 25));
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(std::get<WalData>(*message).data, "");
}

TEST(ParseStreamMessage, ReadsKeepalive) {
  const auto message = parse_stream_message(kKeepaliveFrame);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(to_string(std::get<Keepalive>(*message).wal_end), "1/2030405");
  EXPECT_TRUE(std::get<Keepalive>(*message).reply_requested);

  std::string quiet = kKeepaliveFrame;
  quiet.back() = '\0';
  EXPECT_FALSE(std::get<Keepalive>(parse_stream_message(quiet).value()).reply_requested);
}

TEST(ParseStreamMessage, RefusesEveryTruncatedFrame) {
  for (std::size_t length = 0; length < 25; ++length) {
    EXPECT_FALSE(parse_stream_message(std::string_view(kWalFrame).substr(0, length)).has_value()) << length;
  }
  for (std::size_t length = 0; length < kKeepaliveFrame.size(); ++length) {
    EXPECT_FALSE(parse_stream_message(std::string_view(kKeepaliveFrame).substr(0, length)).has_value()) << length;
  }
}

TEST(ParseStreamMessage, NamesTypeAndLengthOfWhatItRefuses) {
  const auto expect_refused = [](const std::string& frame, const std::string& text) {
    const auto message = parse_stream_message(frame);
    ASSERT_FALSE(message.has_value());
    EXPECT_EQ(message.error().code, ErrorCode::kProtocol);
    EXPECT_EQ(message.error().message, "malformed replication message: " + text);
  };
  expect_refused("", "type none, length 0");
  expect_refused("w\x01", "type 0x77, length 2");
  expect_refused("z" + std::string(40, '\0'), "type 0x7a, length 41");
  expect_refused("\xff" + std::string(17, '\0'), "type 0xff, length 18");
  expect_refused(kKeepaliveFrame + "x", "type 0x6b, length 19");
}

TEST(EncodeStatus, WritesPositionsAndPostgresTimeInNetworkOrder) {
  const StandbyStatus status{.write = Lsn{0x0102030405060708},
                             .flush = Lsn{0x1112131415161718},
                             .apply = Lsn{0x2122232425262728},
                             .request_reply = true};
  // One second after 2000-01-01: 1'000'000 us = 0x0f4240.
  const auto now = WallTime(std::chrono::microseconds(kPostgresEpochUs + 1'000'000));
  const StatusFrame frame = encode_status(status, now);
  EXPECT_EQ(std::string(frame.data(), frame.size()),
            "r"
            "\x01\x02\x03\x04\x05\x06\x07\x08"
            "\x11\x12\x13\x14\x15\x16\x17\x18"
            "\x21\x22\x23\x24\x25\x26\x27\x28"
            "\x00\x00\x00\x00\x00\x0f\x42\x40"
            "\x01"s);
}

TEST(EncodeStatus, AsksForNoReplyUnlessTold) {
  EXPECT_EQ(encode_status({}, WallTime(std::chrono::microseconds(kPostgresEpochUs))), (StatusFrame{'r'}));
}

}  // namespace
}  // namespace outboxx
