#include "postgres/receive_pacer.h"

#include <gtest/gtest.h>

#include <chrono>

namespace outboxx {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

class ReceivePacerTest : public testing::Test {
 protected:
  ReceivePacerTest() { (void)pacer.raised(now); }

  void receive(int messages) {
    for (int i = 0; i < messages; ++i) {
      pacer.count_message();
    }
  }
  bool raised_after(microseconds time) { return pacer.raised(now += time); }
  // One wake-up each interval, with so many messages; what the last one decided.
  bool raised_after_wake_ups(int count, microseconds interval, int messages) {
    bool raised = false;
    for (int i = 0; i < count; ++i) {
      receive(messages);
      raised = raised_after(interval);
    }
    return raised;
  }

  ReceivePacer pacer;
  TimePoint now = TimePoint(hours(1));
};

TEST_F(ReceivePacerTest, StartsLow) {
  EXPECT_FALSE(raised_after(microseconds(0)));
}

TEST_F(ReceivePacerTest, RaisesInABurstAtTwentyMessagesPerMillisecond) {
  receive(19);
  EXPECT_FALSE(raised_after(milliseconds(1)));
  receive(20);
  EXPECT_TRUE(raised_after(milliseconds(1)));
}

TEST_F(ReceivePacerTest, MeasuresABurstPerTimeAndNotPerWakeUp) {
  for (int wake_up = 0; wake_up < 9; ++wake_up) {
    receive(3);
    EXPECT_FALSE(raised_after(microseconds(100))) << "the window is not over";
  }
  receive(3);
  EXPECT_TRUE(raised_after(microseconds(100)));
}

TEST_F(ReceivePacerTest, ComparesWithTheWholeWindowWhenItTookLonger) {
  receive(49);
  EXPECT_FALSE(raised_after(microseconds(2500)));
  receive(50);
  EXPECT_TRUE(raised_after(microseconds(2500)));
}

TEST_F(ReceivePacerTest, StaysRaisedWithinAWindow) {
  receive(100);
  EXPECT_TRUE(raised_after(milliseconds(1)));
  EXPECT_TRUE(raised_after(microseconds(999)));
}

TEST_F(ReceivePacerTest, DropsWhenABurstEnds) {
  receive(100);
  EXPECT_TRUE(raised_after(milliseconds(1)));
  receive(39);
  EXPECT_FALSE(raised_after(ReceivePacer::kBound));
}

TEST_F(ReceivePacerTest, DoesNotTakeMessagesAfterALongSilenceForARate) {
  receive(500);
  EXPECT_FALSE(raised_after(milliseconds(1000)));
}

TEST_F(ReceivePacerTest, RaisesForASteadyStreamThatWakesUsTwoHundredTimesASecond) {
  EXPECT_FALSE(raised_after_wake_ups(3, microseconds(6667), 3)) << "150 a second";
  EXPECT_TRUE(raised_after_wake_ups(4, milliseconds(5), 3));
}

TEST_F(ReceivePacerTest, CountsNoWakeUpThatBroughtNothing) {
  EXPECT_FALSE(raised_after_wake_ups(10, milliseconds(2), 0));
}

TEST_F(ReceivePacerTest, StaysRaisedWhileAQuarterOfTheReadsBringMessages) {
  ASSERT_TRUE(raised_after_wake_ups(10, milliseconds(2), 3));
  EXPECT_TRUE(raised_after_wake_ups(8, milliseconds(2), 0));
  EXPECT_TRUE(raised_after_wake_ups(2, milliseconds(2), 3));
  EXPECT_TRUE(raised_after_wake_ups(9, milliseconds(2), 0));
  EXPECT_FALSE(raised_after_wake_ups(1, milliseconds(2), 3)) << "one read of ten";
}

TEST_F(ReceivePacerTest, FollowsEachMillisecondOfALongBurst) {
  ASSERT_TRUE(raised_after_wake_ups(20, milliseconds(1), 100));
  EXPECT_FALSE(raised_after_wake_ups(1, milliseconds(1), 10)) << "a steady stream would stay raised";
  EXPECT_TRUE(raised_after_wake_ups(1, milliseconds(1), 100));
}

}  // namespace
}  // namespace outboxx
