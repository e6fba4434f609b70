#include "shutdown_watch.h"

#include <gtest/gtest.h>

#include <chrono>

namespace outboxx {
namespace {

using std::chrono::milliseconds;

const TimePoint kStart{std::chrono::hours(1)};

TEST(ShutdownWatchTest, ExpiresWhenRequestsDoNotStopForTheWholeGrace) {  // F5
  ShutdownWatch watch(milliseconds(10'000));
  for (int ms = 0; ms < 10'000; ms += 100) {
    EXPECT_EQ(watch.expired(kStart + milliseconds(ms)), false) << ms;
    watch.reply_requested(kStart + milliseconds(ms));
  }
  EXPECT_TRUE(watch.expired(kStart + milliseconds(10'000)));
}

TEST(ShutdownWatchTest, SaysWhenItExpires) {
  ShutdownWatch watch(milliseconds(2000));
  EXPECT_EQ(watch.next(), TimePoint::max());
  watch.session_ended(kStart);
  EXPECT_EQ(watch.next(), kStart + milliseconds(2000));
  watch.delivered(kStart + milliseconds(500));
  EXPECT_EQ(watch.next(), kStart + milliseconds(2500));
  EXPECT_FALSE(watch.expired(kStart + milliseconds(2499)));
  EXPECT_TRUE(watch.expired(kStart + milliseconds(2500)));
}

TEST(ShutdownWatchTest, SingleRequestsAreNoShutdown) {
  ShutdownWatch watch(milliseconds(10'000));
  for (int ms = 0; ms <= 60'000; ms += 1500) {
    watch.reply_requested(kStart + milliseconds(ms));
    EXPECT_FALSE(watch.expired(kStart + milliseconds(ms)));
  }
}

TEST(ShutdownWatchTest, ASeriesThatEndedIsForgotten) {
  ShutdownWatch watch(milliseconds(1000));
  for (int ms = 0; ms <= 2000; ms += 100) {
    watch.reply_requested(kStart + milliseconds(ms));
  }
  EXPECT_FALSE(watch.expired(kStart + milliseconds(4000)));
}

TEST(ShutdownWatchTest, ExpiresWhenTheServerEndedOurOtherSessionAndNothingIsDeliveredForTheGrace) {
  ShutdownWatch watch(milliseconds(1000));
  watch.delivered(kStart);
  EXPECT_FALSE(watch.expired(kStart + milliseconds(5000)));
  watch.session_ended(kStart + milliseconds(5000));
  watch.session_ended(kStart + milliseconds(5500));
  EXPECT_FALSE(watch.expired(kStart + milliseconds(5999)));
  EXPECT_TRUE(watch.expired(kStart + milliseconds(6000)));
  watch.delivered(kStart + milliseconds(6000));
  EXPECT_FALSE(watch.expired(kStart + milliseconds(6999)));
}

TEST(ShutdownWatchTest, AServerThatTakesSessionsDoesNotShutDown) {
  ShutdownWatch watch(milliseconds(1000));
  watch.session_ended(kStart);
  watch.session_is_back();
  EXPECT_FALSE(watch.expired(kStart + milliseconds(5000)));
}

}  // namespace
}  // namespace outboxx
