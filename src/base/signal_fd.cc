#include "base/signal_fd.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace outboxx {

Result<SignalFd> SignalFd::create() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  const int mask_error = pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (mask_error != 0 || !fd) {
    return fail(ErrorCode::kInternal, std::string("could not set up signal handling: ") + std::strerror(errno));
  }
  return SignalFd(std::move(fd));
}

std::optional<int> SignalFd::take() const {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != sizeof info) {
    return std::nullopt;
  }
  return static_cast<int>(info.ssi_signo);
}

std::optional<int> SignalFd::pending() {
  sigset_t signals;
  if (sigpending(&signals) != 0) {
    return std::nullopt;
  }
  for (const int number : {SIGINT, SIGTERM}) {
    if (sigismember(&signals, number) == 1) {
      return number;
    }
  }
  return std::nullopt;
}

}  // namespace outboxx
