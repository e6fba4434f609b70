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
  void receive(int messages) {
    for (int i = 0; i < messages; ++i) {
      pacer.count_message();
    }
  }
  bool raised_after(microseconds time) { return pacer.raised(now += time); }

  ReceivePacer pacer;
  TimePoint now = TimePoint(hours(1));
};

TEST_F(ReceivePacerTest, StartsLow) {
  EXPECT_FALSE(raised_after(microseconds(0)));
}

TEST_F(ReceivePacerTest, RaisesAtTwentyMessagesPerMillisecond) {
  EXPECT_FALSE(raised_after(milliseconds(1)));
  receive(19);
  EXPECT_FALSE(raised_after(milliseconds(1)));
  receive(20);
  EXPECT_TRUE(raised_after(milliseconds(1)));
}

TEST_F(ReceivePacerTest, MeasuresPerTimeAndNotPerWakeUp) {
  EXPECT_FALSE(raised_after(milliseconds(1)));
  for (int wake_up = 0; wake_up < 9; ++wake_up) {
    receive(3);
    EXPECT_FALSE(raised_after(microseconds(100))) << "the window is not over";
  }
  receive(3);
  EXPECT_TRUE(raised_after(microseconds(100)));
}

TEST_F(ReceivePacerTest, ComparesWithTheWholeWindowWhenItTookLonger) {
  EXPECT_FALSE(raised_after(milliseconds(1)));
  receive(49);
  EXPECT_FALSE(raised_after(microseconds(2500)));
  receive(50);
  EXPECT_TRUE(raised_after(microseconds(2500)));
}

TEST_F(ReceivePacerTest, StaysRaisedWithinAWindow) {
  EXPECT_FALSE(raised_after(milliseconds(1)));
  receive(100);
  EXPECT_TRUE(raised_after(milliseconds(1)));
  EXPECT_TRUE(raised_after(microseconds(999)));
}

TEST_F(ReceivePacerTest, DropsWhenTheStreamGetsQuiet) {
  EXPECT_FALSE(raised_after(milliseconds(1)));
  receive(100);
  EXPECT_TRUE(raised_after(milliseconds(1)));
  receive(39);
  EXPECT_FALSE(raised_after(ReceivePacer::kBound));
}

TEST_F(ReceivePacerTest, DoesNotTakeABurstAfterALongSilenceForARate) {
  EXPECT_FALSE(raised_after(milliseconds(1)));
  receive(500);
  EXPECT_FALSE(raised_after(milliseconds(1000)));
}

}  // namespace
}  // namespace outboxx
