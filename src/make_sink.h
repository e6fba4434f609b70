// Which sink the configuration asks for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/wait.h"
#include "config.h"
#include "sink/sink.h"
#include "sink/stdout_sink.h"

namespace outboxx {

// output: of a sink that writes to standard output. It and metrics outlive the sink.
[[nodiscard]] Result<std::unique_ptr<Sink>> make_sink(const Config& config, Output& output, Metrics& metrics);

// Can the sink be reached, and does it accept the streams' topics? As Sink::open(), but changes nothing: topics that do not
// exist are returned, in place of making a broker create them.
[[nodiscard]] Result<std::vector<std::string>> find_missing_topics(const Config& config, TimePoint deadline, StopSignal stop);

}  // namespace outboxx
