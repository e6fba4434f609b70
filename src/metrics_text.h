// metrics_text: Metrics in Prometheus' text format. Names, units and meanings: docs/metrics.md.
#pragma once

#include <cstdint>
#include <string>

#include "base/metrics.h"
#include "base/time.h"
#include "process_usage.h"

namespace outboxx {

// What outboxx_build_info tells.
struct BuildInfo {
  std::string version;
  std::string libpq;
  std::string librdkafka;
};

// What is true at the moment of a scrape beside Metrics.
struct ScrapeMoment {
  TimePoint now;
  WallTime wall_now;
  std::uint64_t log_lines_dropped = 0;
  ProcessUsage process;
};

// The version of the format that metrics_text() writes.
inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// Any thread.
[[nodiscard]] std::string metrics_text(const Metrics& metrics, const BuildInfo& build, const ScrapeMoment& moment);

// Since the loop's last turn; zero while it does not run.
[[nodiscard]] Duration loop_progress_age(const Metrics& metrics, TimePoint now);

}  // namespace outboxx
