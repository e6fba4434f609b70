// ProcessUsage: what this process takes of the machine, as the kernel counts it.
#pragma once

#include <cstdint>

namespace outboxx {

struct ProcessUsage {
  double cpu_seconds = 0;  // user and system, all threads
  std::int64_t resident_bytes = 0;
  std::int64_t open_fds = 0;
  double start_time_seconds = 0;  // since 1970-01-01 UTC
};

// What cannot be read is 0: a metric less is no reason to fail. Any thread.
[[nodiscard]] ProcessUsage read_process_usage();

}  // namespace outboxx
