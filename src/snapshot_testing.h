// For tests: a SnapshotProgress that is half way.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/snapshot_progress.h"

namespace outboxx {

// 2025-11-24T16:00:00Z
inline constexpr std::int64_t kSnapshotStartedUs = 1'764'000'000'000'000;

struct TableNumbers {
  SnapshotTableState state = SnapshotTableState::kWaiting;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::int64_t blocks_before = 0;
  std::int64_t blocks_done = 0;
  std::int64_t blocks = 0;
  std::int64_t estimated_rows = -1;
};

inline void set_table(SnapshotProgress& progress, std::string_view name, const TableNumbers& numbers) {
  SnapshotTableProgress& table = progress.table(name);
  table.state.set(std::to_underlying(numbers.state));
  table.rows.add(numbers.rows - table.rows.value());
  table.bytes.add(numbers.bytes - table.bytes.value());
  table.blocks_before.set(numbers.blocks_before);
  table.blocks_done.set(numbers.blocks_done);
  table.blocks_total.set(numbers.blocks);
  table.estimated_rows.set(numbers.estimated_rows);
  table.run.set(progress.run.value());
}

// One of three tables done, of 1,000 blocks 400, of which a process before this one had read 100.
inline void set_half_way(SnapshotProgress& progress) {
  progress.state.set(std::to_underlying(SnapshotRunState::kReading));
  progress.started_us.set(kSnapshotStartedUs);
  progress.point_lsn.set(0x16'B374D848);
  progress.run.set(2);
  progress.tables.set(3);
  progress.tables_done.set(1);
  set_table(progress, "public.customers",
            {.state = SnapshotTableState::kDone,
             .rows = 5'000,
             .bytes = 1'000'000,
             .blocks_done = 50,
             .blocks = 50,
             .estimated_rows = 4'990});
  set_table(progress, "public.orders",
            {.state = SnapshotTableState::kReading,
             .rows = 25'000,
             .bytes = 9'000'000,
             .blocks_before = 100,
             .blocks_done = 350,
             .blocks = 900,
             .estimated_rows = 90'000});
  set_table(progress, "public.notes", {.blocks = 50, .estimated_rows = 7'000});
}

}  // namespace outboxx
