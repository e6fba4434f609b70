#include "base/wait.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Two connected sockets: what is sent to far arrives at near.
struct SocketPair {
  UniqueFd near;
  UniqueFd far;

  SocketPair() {
    std::array<int, 2> fds{-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    near = UniqueFd(fds[0]);
    far = UniqueFd(fds[1]);
  }
  void send() const { EXPECT_EQ(::write(far.get(), "x", 1), 1); }
};

TimePoint in(Duration time) {
  return Clock::now() + time;
}

TEST(WaitFor, ReturnsReadyWhenThereIsSomethingToRead) {
  const SocketPair pair;
  pair.send();
  EXPECT_EQ(wait_for(pair.near.get(), POLLIN, in(seconds(60)), {}).value(), WaitResult::kReady);
}

TEST(WaitFor, ReturnsReadyWhenThePeerIsGone) {
  SocketPair pair;
  {
    const UniqueFd closed = std::move(pair.far);
  }
  EXPECT_EQ(wait_for(pair.near.get(), POLLOUT, in(seconds(60)), {}).value(), WaitResult::kReady);
}

TEST(WaitFor, TimesOutNotBeforeTheDeadline) {
  const SocketPair pair;
  const TimePoint deadline = in(milliseconds(20));
  EXPECT_EQ(wait_for(pair.near.get(), POLLIN, deadline, {}).value(), WaitResult::kTimedOut);
  EXPECT_GE(Clock::now(), deadline);
}

TEST(WaitFor, TimesOutAtOnceAfterTheDeadline) {
  const SocketPair pair;
  EXPECT_EQ(wait_for(pair.near.get(), POLLIN, in(seconds(-1)), {}).value(), WaitResult::kTimedOut);
}

TEST(WaitFor, SeesWhatIsReadyEvenAfterTheDeadline) {
  const SocketPair pair;
  pair.send();
  EXPECT_EQ(wait_for(pair.near.get(), POLLIN, in(seconds(-1)), {}).value(), WaitResult::kReady);
}

TEST(WaitFor, WaitsForTheDeadlineAloneWithoutADescriptor) {
  EXPECT_EQ(wait_for(-1, 0, in(milliseconds(5)), {}).value(), WaitResult::kTimedOut);
}

TEST(WaitFor, AStopWinsOverReadinessAndStaysUnread) {
  const SocketPair pair;
  const SocketPair stop;
  pair.send();
  stop.send();
  for (int call = 0; call < 2; ++call) {
    const auto result = wait_for(pair.near.get(), POLLIN, in(seconds(60)), StopSignal{stop.near.get()});
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kInterrupted);
  }
}

TEST(WaitFor, AStopEndsAWaitWithoutADescriptor) {
  const SocketPair stop;
  stop.send();
  const auto result = wait_for(-1, 0, in(seconds(60)), StopSignal{stop.near.get()});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kInterrupted);
}

}  // namespace
}  // namespace outboxx
