// SnapshotSummary: a SnapshotProgress at one moment and over all tables, with what follows from its numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/lsn.h"
#include "base/snapshot_progress.h"
#include "base/time.h"

namespace outboxx {

// Of the present run, or the last one. Rows and bytes are those that the sink accepted since the process began.
struct SnapshotSummary {
  SnapshotRunState state = SnapshotRunState::kNone;
  WallTime started;
  Lsn point;
  WallTime::duration elapsed{};  // until now, or until it ended
  std::int64_t tables = 0;
  std::int64_t tables_done = 0;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::int64_t blocks = 0;
  std::int64_t blocks_done = 0;
  std::int64_t estimated_rows = -1;         // -1: of some table it is not known
  double percent = 0;                       // of the blocks
  std::optional<std::int64_t> eta_seconds;  // while tables are read, once blocks have arrived: at the run's mean rate

  [[nodiscard]] bool is_running() const { return state == SnapshotRunState::kWaiting || state == SnapshotRunState::kReading; }
};

// Any thread.
[[nodiscard]] SnapshotSummary summarize(const SnapshotProgress& progress, WallTime now);

// "none", "running", "complete", "failed"; "waiting", "reading", "done".
[[nodiscard]] std::string_view name_of(SnapshotRunState state);
[[nodiscard]] std::string_view name_of(SnapshotTableState state);

// One after the other, from any thread: for (table = progress.first(); table != nullptr; table = next(*table)).
[[nodiscard]] inline const SnapshotTableProgress* next(const SnapshotTableProgress& table) {
  return table.next.load(std::memory_order_acquire);
}
[[nodiscard]] inline SnapshotTableState state_of(const SnapshotTableProgress& table) {
  return static_cast<SnapshotTableState>(table.state.value());
}

}  // namespace outboxx
