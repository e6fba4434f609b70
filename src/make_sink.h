// Which sink the configuration asks for.
#pragma once

#include <memory>

#include "base/error.h"
#include "base/metrics.h"
#include "config.h"
#include "sink/sink.h"

namespace outboxx {

// metrics outlives the sink.
[[nodiscard]] Result<std::unique_ptr<Sink>> make_sink(const Config& config, Metrics& metrics);

}  // namespace outboxx
