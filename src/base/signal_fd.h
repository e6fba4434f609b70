// SignalFd: SIGTERM and SIGINT as a file descriptor, so that one poll(2) sees them beside the sockets.
#pragma once

#include <optional>
#include <utility>

#include "base/error.h"
#include "base/unique_fd.h"
#include "base/wait.h"

namespace outboxx {

class SignalFd {
 public:
  // Blocks both signals in this thread: create it before other threads start, they inherit the mask.
  [[nodiscard]] static Result<SignalFd> create();

  // The number of a pending signal, taken off; nothing if there is none.
  [[nodiscard]] std::optional<int> take() const;
  // The same, left as it is. It stays pending for the process, with or without a SignalFd.
  [[nodiscard]] static std::optional<int> pending();
  [[nodiscard]] StopSignal stop() const { return {fd_.get()}; }

 private:
  explicit SignalFd(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace outboxx
