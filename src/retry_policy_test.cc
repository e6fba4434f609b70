#include "retry_policy.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "base/backoff.h"
#include "base/error.h"

namespace outboxx {
namespace {

using Cause = ReconnectCause;
using std::chrono::milliseconds;

constexpr ErrorCode kAllCodes[] = {
    ErrorCode::kInterrupted,         ErrorCode::kUsage,    ErrorCode::kConfig,           ErrorCode::kPostgresMisconfigured,
    ErrorCode::kPostgresUnreachable, ErrorCode::kInternal, ErrorCode::kKafkaUnreachable, ErrorCode::kSlot,
    ErrorCode::kKafkaRefused,        ErrorCode::kOutput,   ErrorCode::kProtocol};

std::optional<Retry> after(ErrorCode code, Phase phase, bool wait = false, std::string sqlstate = "") {
  return retry_after({.code = code, .message = "m", .hint = {}, .sqlstate = std::move(sqlstate)}, phase, wait);
}

TEST(RetryPolicy, RetriesOnlyWhatPassesByItself) {
  for (const ErrorCode code : kAllCodes) {
    const bool passes = code == ErrorCode::kPostgresUnreachable || code == ErrorCode::kKafkaUnreachable;
    EXPECT_EQ(after(code, Phase::kConnecting).has_value(), passes) << static_cast<int>(code);
    EXPECT_EQ(after(code, Phase::kStreaming).has_value(), passes) << static_cast<int>(code);
    EXPECT_EQ(after(code, Phase::kFirstStart, true).has_value(), passes) << static_cast<int>(code);
    EXPECT_FALSE(after(code, Phase::kFirstStart, false)) << static_cast<int>(code);
  }
}

TEST(RetryPolicy, NamesTheCauseAndBoundsTheWait) {
  struct Row {
    ErrorCode code;
    const char* sqlstate;
    Phase phase;
    Cause cause;
    milliseconds longest_wait;
  };
  constexpr auto kPostgres = ErrorCode::kPostgresUnreachable;
  constexpr auto kKafka = ErrorCode::kKafkaUnreachable;
  constexpr Row kRows[] = {
      {kPostgres, "", Phase::kConnecting, Cause::kPostgresUnreachable, kLongestWaitForServer},  // refused, no answer, DNS
      {kPostgres, "", Phase::kStreaming, Cause::kPostgresLost, kLongestWaitForServer},          // reset, silent, end of file
      {kPostgres, "08006", Phase::kStreaming, Cause::kPostgresLost, kLongestWaitForServer},
      {kPostgres, "57P01", Phase::kStreaming, Cause::kPostgresRestart, kLongestWaitForServer},
      {kPostgres, "57P02", Phase::kStreaming, Cause::kPostgresRestart, kLongestWaitForServer},
      {kPostgres, "57P03", Phase::kConnecting, Cause::kPostgresRestart, kLongestWaitForServer},
      {kPostgres, "53300", Phase::kConnecting, Cause::kPostgresResources, kLongestRetryWait},
      {kPostgres, "53100", Phase::kStreaming, Cause::kPostgresResources, kLongestRetryWait},
      {kPostgres, "XX000", Phase::kStreaming, Cause::kPostgresError, kLongestRetryWait},
      {kPostgres, "55006", Phase::kConnecting, Cause::kPostgresSlotInUse, kFirstRetryWait},
      {kKafka, "", Phase::kConnecting, Cause::kKafkaUnreachable, kLongestWaitForServer},
      {kKafka, "", Phase::kStreaming, Cause::kKafkaDelivery, kLongestRetryWait},
  };
  for (const Row& row : kRows) {
    const auto retry = after(row.code, row.phase, false, row.sqlstate);
    ASSERT_TRUE(retry) << row.sqlstate;
    EXPECT_EQ(retry->cause, row.cause) << row.sqlstate;
    EXPECT_EQ(retry->longest_wait, row.longest_wait) << row.sqlstate;
  }
}

TEST(SilenceLimit, GrowsOnlyWhileSessionsBringNothing) {
  EXPECT_EQ(next_silence_limit(kSilenceLimit, true, false), 2 * kSilenceLimit);
  EXPECT_EQ(next_silence_limit(kLongestSilenceLimit, true, false), kLongestSilenceLimit);
  EXPECT_EQ(next_silence_limit(4 * kSilenceLimit, false, false), kSilenceLimit);
  // Found by the soak: the second black hole of a network was found after 40 s.
  EXPECT_EQ(next_silence_limit(kSilenceLimit, true, true), kSilenceLimit);
  EXPECT_EQ(next_silence_limit(4 * kSilenceLimit, true, true), kSilenceLimit);
}

TEST(Backoff, DoublesWithJitterUpToItsLimitAndStartsAnew) {
  Backoff backoff(kFirstRetryWait, kLongestRetryWait);
  const auto expect_about = [](milliseconds wait, milliseconds full) {
    EXPECT_LE(wait, full);
    EXPECT_GE(wait, full - full / 4);
  };
  for (const int full : {200, 400, 800, 1600, 3200, 6400, 12'800, 25'600, 30'000, 30'000}) {
    expect_about(backoff.next(), milliseconds(full));
  }
  expect_about(backoff.next(kLongestWaitForServer), kLongestWaitForServer);
  expect_about(backoff.next(), kLongestRetryWait);
  backoff.reset();
  expect_about(backoff.next(kLongestWaitForServer), kFirstRetryWait);
}

}  // namespace
}  // namespace outboxx
