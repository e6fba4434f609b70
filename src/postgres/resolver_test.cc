#include "postgres/resolver.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "base/error.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "base/wait.h"

namespace outboxx {
namespace {

TimePoint in_a_minute() {
  return Clock::now() + std::chrono::minutes(1);
}

TEST(IsAddressOrPath, KnowsWhatNeedsNoLookup) {
  for (const char* host : {"", "/run/postgresql", "@abstract", "127.0.0.1", "::1", "fe80::1"}) {
    EXPECT_TRUE(is_address_or_path(host)) << host;
  }
  for (const char* host : {"localhost", "db.example", "1.2.3.4.5", "a/b"}) {
    EXPECT_FALSE(is_address_or_path(host)) << host;
  }
}

class ResolveHost : public testing::Test {
 protected:
#ifdef __SANITIZE_THREAD__
  // glibc starts the lookup's thread behind the back of GCC 12's ThreadSanitizer, and the first allocation in it crashes.
  void SetUp() override { GTEST_SKIP() << "glibc's own threads are unknown to ThreadSanitizer"; }
#endif
};

TEST_F(ResolveHost, FindsTheLoopbackOnce) {
  const auto addresses = resolve_host("localhost", in_a_minute(), {});
  ASSERT_TRUE(addresses.has_value()) << addresses.error().message;
  EXPECT_TRUE(std::ranges::count(*addresses, "127.0.0.1") == 1 || std::ranges::count(*addresses, "::1") == 1);
}

TEST_F(ResolveHost, NamesTheHostThatDoesNotResolve) {
  const auto addresses = resolve_host("name with spaces", in_a_minute(), {});
  ASSERT_FALSE(addresses.has_value());
  EXPECT_EQ(addresses.error().code, ErrorCode::kPostgresUnreachable);
  EXPECT_TRUE(addresses.error().message.starts_with("could not resolve host \"name with spaces\": "))
      << addresses.error().message;
}

TEST_F(ResolveHost, GivesWayToAStopAndLeavesTheLookupBehind) {
  const UniqueFd stop(::eventfd(1, EFD_CLOEXEC));
  for (int i = 0; i < 20; ++i) {  // the sanitizers see a lookup that writes into memory that is gone
    const auto addresses = resolve_host("localhost", in_a_minute(), StopSignal{stop.get()});
    ASSERT_FALSE(addresses.has_value());
    EXPECT_EQ(addresses.error().code, ErrorCode::kInterrupted);
  }
}

TEST_F(ResolveHost, EndsAtTheDeadline) {
  const auto addresses = resolve_host("name.invalid", Clock::now(), {});
  ASSERT_FALSE(addresses.has_value());
  EXPECT_EQ(addresses.error().code, ErrorCode::kPostgresUnreachable);
}

}  // namespace
}  // namespace outboxx
