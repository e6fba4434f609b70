#include "postgres/receive_pacer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>

namespace outboxx {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

class ReceivePacerTest : public testing::Test {
 protected:
  ReceivePacerTest() {
    pacer.count_read();
    (void)pacer.pace(now);
  }

  void receive(int messages, std::size_t bytes = 100) {
    pacer.count_read();
    for (int i = 0; i < messages; ++i) {
      pacer.count_message(bytes);
    }
  }
  ReceivePace pace_after(microseconds time) { return pacer.pace(now += time); }
  // One wake-up each interval, with so many messages; what the last one decided.
  ReceivePace pace_after_wake_ups(int count, microseconds interval, int messages, std::size_t bytes = 100) {
    ReceivePace pace = ReceivePace::kEach;
    for (int i = 0; i < count; ++i) {
      receive(messages, bytes);
      pace = pace_after(interval);
    }
    return pace;
  }

  ReceivePacer pacer;
  TimePoint now = TimePoint(hours(24 * 365));  // a machine that has been up for long
};

TEST_F(ReceivePacerTest, StartsWithEachMessage) {
  EXPECT_EQ(pace_after(microseconds(0)), ReceivePace::kEach);
}

TEST_F(ReceivePacerTest, TwentyMessagesAMillisecondAreABurst) {
  receive(19);
  EXPECT_EQ(pace_after(milliseconds(1)), ReceivePace::kEach);
  receive(20);
  EXPECT_EQ(pace_after(milliseconds(1)), ReceivePace::kBurst);
}

TEST_F(ReceivePacerTest, MeasuresABurstPerTimeAndNotPerWakeUp) {
  for (int wake_up = 0; wake_up < 9; ++wake_up) {
    receive(3);
    EXPECT_EQ(pace_after(microseconds(100)), ReceivePace::kEach) << "the window is not over";
  }
  receive(3);
  EXPECT_EQ(pace_after(microseconds(100)), ReceivePace::kBurst);
}

TEST_F(ReceivePacerTest, ComparesWithTheWholeWindowWhenItTookLonger) {
  receive(49);
  EXPECT_EQ(pace_after(microseconds(2500)), ReceivePace::kEach);
  receive(50);
  EXPECT_EQ(pace_after(microseconds(2500)), ReceivePace::kBurst);
}

TEST_F(ReceivePacerTest, BurstLastsForAWindow) {
  receive(100);
  EXPECT_EQ(pace_after(milliseconds(1)), ReceivePace::kBurst);
  EXPECT_EQ(pace_after(microseconds(999)), ReceivePace::kBurst);
}

TEST_F(ReceivePacerTest, BurstEnds) {
  receive(100);
  EXPECT_EQ(pace_after(milliseconds(1)), ReceivePace::kBurst);
  receive(39);
  EXPECT_EQ(pace_after(ReceivePacer::kBound), ReceivePace::kEach);
}

TEST_F(ReceivePacerTest, DoesNotTakeMessagesAfterALongSilenceForARate) {
  receive(500);
  EXPECT_EQ(pace_after(milliseconds(1000)), ReceivePace::kEach);
}

TEST_F(ReceivePacerTest, SteadyIsAStreamThatWakesUsTwoHundredTimesASecond) {
  EXPECT_EQ(pace_after_wake_ups(3, microseconds(6667), 3), ReceivePace::kEach) << "150 a second";
  EXPECT_EQ(pace_after_wake_ups(4, milliseconds(5), 3), ReceivePace::kSteady);
}

TEST_F(ReceivePacerTest, CountsNoWakeUpThatBroughtNothing) {
  EXPECT_EQ(pace_after_wake_ups(10, milliseconds(2), 0), ReceivePace::kEach);
}

TEST_F(ReceivePacerTest, StaysSteadyByItsMessagesHoweverFewReadsBringThem) {
  ASSERT_EQ(pace_after_wake_ups(10, milliseconds(2), 3), ReceivePace::kSteady);
  EXPECT_EQ(pace_after_wake_ups(1, ReceivePacer::kDeliveryBound, 40), ReceivePace::kSteady);
  EXPECT_EQ(pace_after_wake_ups(1, ReceivePacer::kDeliveryBound, 39), ReceivePace::kEach);
}

TEST_F(ReceivePacerTest, WakeUpWithoutAReadSaysNothing) {
  ASSERT_EQ(pace_after_wake_ups(10, milliseconds(2), 3), ReceivePace::kSteady);
  ASSERT_EQ(pace_after_wake_ups(1, milliseconds(2), 6), ReceivePace::kSteady);
  for (int answer = 0; answer < 5; ++answer) {
    EXPECT_EQ(pace_after(milliseconds(30)), ReceivePace::kSteady);
  }
  EXPECT_EQ(pace_after_wake_ups(1, milliseconds(10), 150), ReceivePace::kSteady);
}

TEST_F(ReceivePacerTest, EmptyReadsEndASteadyStream) {
  ASSERT_EQ(pace_after_wake_ups(10, milliseconds(2), 3), ReceivePace::kSteady);
  EXPECT_EQ(pace_after_wake_ups(10, milliseconds(2), 0), ReceivePace::kEach);
}

TEST_F(ReceivePacerTest, MessagesThatComeOneByOneStaySteady) {
  ASSERT_EQ(pace_after_wake_ups(4, milliseconds(5), 1), ReceivePace::kSteady);
  EXPECT_EQ(pace_after_wake_ups(40, milliseconds(5), 1), ReceivePace::kSteady);
}

TEST_F(ReceivePacerTest, WideRowsAreNoBacklogForTheirBytes) {
  EXPECT_EQ(pace_after_wake_ups(10, milliseconds(2), 30, 700), ReceivePace::kSteady);
}

TEST_F(ReceivePacerTest, TenThousandTransactionsASecondAreSteady) {
  EXPECT_EQ(pace_after_wake_ups(10, milliseconds(2), 60, 122), ReceivePace::kSteady);
}

TEST_F(ReceivePacerTest, BacklogIsTakenByTheMillisecond) {
  ASSERT_EQ(pace_after_wake_ups(20, milliseconds(1), 100, 122), ReceivePace::kBurst);
  EXPECT_EQ(pace_after_wake_ups(1, milliseconds(1), 10), ReceivePace::kEach) << "a steady stream would stay";
  EXPECT_EQ(pace_after_wake_ups(1, milliseconds(1), 100, 122), ReceivePace::kBurst);
}

}  // namespace
}  // namespace outboxx
