// Time: the monotonic clock that deadlines use, and PostgreSQL's own epoch. Functions take the time as an argument.
#pragma once

#include <chrono>
#include <cstdint>

namespace outboxx {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

// Wall-clock time in microseconds since 1970-01-01 UTC.
using WallTime = std::chrono::sys_time<std::chrono::microseconds>;

// The replication protocol counts microseconds from 2000-01-01 UTC (PostgreSQL: datatype/timestamp.h, POSTGRES_EPOCH_JDATE).
inline constexpr std::int64_t kPostgresEpochUs = 946'684'800'000'000;

[[nodiscard]] constexpr WallTime from_postgres_time(std::int64_t microseconds) {
  // Wraps instead of overflowing: the number comes from the wire.
  return WallTime(std::chrono::microseconds(
      static_cast<std::int64_t>(static_cast<std::uint64_t>(microseconds) + static_cast<std::uint64_t>(kPostgresEpochUs))));
}

[[nodiscard]] constexpr std::int64_t to_postgres_time(WallTime time) {
  return time.time_since_epoch().count() - kPostgresEpochUs;
}

[[nodiscard]] inline WallTime wall_now() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

}  // namespace outboxx
