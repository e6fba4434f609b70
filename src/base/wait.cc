#include "base/wait.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>

namespace outboxx {

Result<WaitResult> wait_for(int fd, short events, TimePoint deadline, StopSignal stop) {
  while (true) {
    std::array<pollfd, 2> fds{{{fd, events, 0}, {stop.fd, POLLIN, 0}}};
    // Rounded up: a wait that ends a fraction of a millisecond early would spin until its deadline.
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    const int timeout_ms = static_cast<int>(std::clamp<decltype(left)>(left, 0, 3'600'000));
    const int ready = ::poll(fds.data(), fds.size(), timeout_ms);
    if (ready < 0 && errno != EINTR) {
      return fail(ErrorCode::kInternal, std::string("could not wait: ") + std::strerror(errno));
    }
    if (ready > 0 && fds[1].revents != 0) {
      return fail(ErrorCode::kInterrupted, "interrupted");
    }
    if (ready > 0) {
      return WaitResult::kReady;
    }
    if (Clock::now() >= deadline) {
      return WaitResult::kTimedOut;
    }
  }
}

}  // namespace outboxx
