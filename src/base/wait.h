// Waiting outside the pipeline's loop (connecting, preflight): one file descriptor, a deadline, and the operator's stop.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "base/time.h"

namespace outboxx {

// The descriptor that becomes readable when the operator asks to stop (the signalfd); -1: never. A copy of its number, not
// an owner. Whoever waits with it returns ErrorCode::kInterrupted and leaves the signal unread for the caller.
struct StopSignal {
  int fd = -1;
};

enum class WaitResult : std::uint8_t { kReady, kTimedOut };

// Waits until fd has one of events (or an error or hang-up), the deadline passes, or a stop is asked for (kInterrupted).
// fd may be -1: then it only waits for the deadline or the stop.
[[nodiscard]] Result<WaitResult> wait_for(int fd, short events, TimePoint deadline, StopSignal stop);

}  // namespace outboxx
