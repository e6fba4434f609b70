// Supervisor: sessions of streaming, one after the other, until the operator stops or trying again cannot help.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "base/metrics.h"
#include "base/signal_fd.h"
#include "config.h"
#include "snapshot_mailbox.h"

namespace outboxx {

// What to do if a server cannot be reached before both were seen once.
enum class UnreachableAtStart : std::uint8_t {
  kGiveUp,  // so that a wrong configuration is noticed at once
  kWait,
};

// Connects, checks both servers, creates what is missing (publication, then slot) and streams. A value: stopped by signal.
//
// What passes by itself (retry_policy.h) starts a new session from the last confirmed position with a new producer, after a
// wait that grows while no session makes progress; what does not ends it. A slot that vanishes after it was streamed from is
// not created again.
[[nodiscard]] Result<> supervise(const Config& config, const SignalFd& signals, Metrics& metrics, SnapshotMailbox& mailbox,
                                 UnreachableAtStart at_start);

}  // namespace outboxx
