#include "status_timer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>

namespace outboxx {
namespace {

using std::chrono::milliseconds;

const TimePoint kStart{std::chrono::hours(1)};

TimePoint at(int ms) {
  return kStart + milliseconds(ms);
}

class StatusTimerTest : public testing::Test {
 protected:
  void flushed(std::uint64_t position, int ms) { timer.flushed(Lsn{position}, at(ms)); }
  void sent(int ms) { timer.sent(at(ms)); }
  // Milliseconds since the start.
  [[nodiscard]] auto next() const { return std::chrono::duration_cast<milliseconds>(timer.next() - kStart).count(); }

  StatusTimer timer{milliseconds(10'000), milliseconds(60'000), Lsn{100}, kStart};
};

TEST_F(StatusTimerTest, IsDueAtEachIntervalEvenIfNothingMoves) {  // F6
  EXPECT_EQ(next(), 10'000);
  sent(10'000);
  EXPECT_EQ(next(), 20'000);
  EXPECT_FALSE(timer.due(at(19'999)));
  EXPECT_TRUE(timer.due(at(20'000)));
}

TEST_F(StatusTimerTest, IntervalIsAQuarterOfAShortWalSenderTimeout) {  // F7
  EXPECT_EQ(StatusTimer(milliseconds(10'000), milliseconds(1000), Lsn{}, kStart).interval(), milliseconds(250));
  EXPECT_EQ(StatusTimer(milliseconds(10'000), milliseconds(60'000), Lsn{}, kStart).interval(), milliseconds(10'000));
  EXPECT_EQ(StatusTimer(milliseconds(10'000), milliseconds(0), Lsn{}, kStart).interval(), milliseconds(10'000));  // 0: none
}

TEST_F(StatusTimerTest, IsDueOneSecondAfterThePositionMovedHoweverOftenItMoves) {  // F84
  for (int ms = 500; ms < 1500; ms += 10) {
    flushed(100 + static_cast<std::uint64_t>(ms), ms);
  }
  EXPECT_EQ(next(), 1500);
}

TEST_F(StatusTimerTest, AnswersAReplyRequestAtOnce) {
  flushed(150, 400);
  timer.reply_requested(Lsn{150});
  EXPECT_TRUE(timer.due(at(400)));
  sent(400);
  EXPECT_EQ(next(), 10'400);
}

TEST_F(StatusTimerTest, AnswersRepeatedRequestsWithAnUnmovedPositionAtMostEvery100Ms) {  // F5
  timer.reply_requested(Lsn{200});
  sent(200);
  timer.reply_requested(Lsn{200});
  EXPECT_EQ(next(), 300);
}

TEST_F(StatusTimerTest, IsDueAtOnceWhenThePositionReachesOneForWhichAReplyWasRequested) {
  timer.reply_requested(Lsn{200});
  sent(200);
  flushed(199, 300);
  EXPECT_EQ(next(), 1300);
  flushed(200, 310);
  EXPECT_TRUE(timer.due(at(310)));
  sent(310);
  EXPECT_EQ(next(), 10'310);
}

}  // namespace
}  // namespace outboxx
