// An eventfd that never blocks: one thread writes to wake up another that polls.
#pragma once

#include <sys/eventfd.h>

#include "base/check.h"
#include "base/unique_fd.h"

namespace outboxx {

// Readable at once after a write; a read makes it unreadable again.
[[nodiscard]] inline UniqueFd make_event() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  CHECK(event.get() >= 0);
  return event;
}

}  // namespace outboxx
