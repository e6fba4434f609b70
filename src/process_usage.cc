#include "process_usage.h"

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace outboxx {
namespace {

double read_clock(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// proc(5), /proc/pid/statm: the second number is the resident set, in pages.
std::int64_t read_resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  statm >> size >> resident;
  return statm ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}

std::int64_t count_open_fds() {
  std::error_code error;
  const std::filesystem::directory_iterator fds("/proc/self/fd", error);
  const auto count = error ? 0 : std::distance(begin(fds), end(fds));
  return count > 0 ? count - 1 : 0;  // without the one that lists them
}

// proc(5), /proc/pid/stat: field 22 is the start in clock ticks since boot. Field 2, the name, may hold blanks and parentheses.
// Not "btime" of /proc/stat: that file is hidden where only processes are visible (systemd's ProcSubset=pid).
double read_start_time() {
  std::ifstream file("/proc/self/stat");
  std::string stat;
  std::getline(file, stat);
  std::size_t at = stat.rfind(')');
  for (int field = 2; field < 22 && at != std::string::npos; ++field) {
    at = stat.find(' ', at + 1);
  }
  if (at == std::string::npos) {
    return 0;
  }
  const double since_boot = std::strtod(stat.c_str() + at, nullptr) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME) + since_boot;
}

}  // namespace

ProcessUsage read_process_usage() {
  static const double kStartTime = read_start_time();  // once: a clock that is set must not look like a restart
  return {.cpu_seconds = read_clock(CLOCK_PROCESS_CPUTIME_ID),
          .resident_bytes = read_resident_bytes(),
          .open_fds = count_open_fds(),
          .start_time_seconds = kStartTime};
}

}  // namespace outboxx
