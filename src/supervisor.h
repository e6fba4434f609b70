// Supervisor: sessions of streaming, one after the other, until the operator stops or trying again cannot help.
#pragma once

#include "base/error.h"
#include "base/metrics.h"
#include "base/signal_fd.h"
#include "config.h"

namespace outboxx {

// Connects, checks both servers, creates what is missing (publication, then slot) and streams. A value: stopped by signal.
//
// A failed delivery that a new producer may mend starts a new session from the last confirmed position, with a growing wait
// between; everything else ends it: a lost PostgreSQL connection too, for reconnecting belongs to the service manager.
[[nodiscard]] Result<> supervise(const Config& config, const SignalFd& signals, Metrics& metrics);

}  // namespace outboxx
