#include "snapshot_summary.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/lsn.h"
#include "base/snapshot_progress.h"
#include "base/time.h"

namespace outboxx {
namespace {

using std::chrono::duration;
using std::chrono::microseconds;

WallTime wall_time(const Gauge& microseconds_since_1970) {
  return WallTime(microseconds(microseconds_since_1970.value()));
}

std::optional<std::int64_t> eta_seconds(const SnapshotSummary& summary, std::int64_t blocks_now_done) {
  if (!summary.is_running() || blocks_now_done <= 0) {
    return std::nullopt;
  }
  const auto missing = static_cast<double>(summary.blocks - summary.blocks_done);
  return std::llround(std::ceil(duration<double>(summary.elapsed).count() * missing / static_cast<double>(blocks_now_done)));
}

double percent(const SnapshotSummary& summary) {
  if (summary.state == SnapshotRunState::kDone) {
    return 100;  // of tables without a block too
  }
  return summary.blocks > 0 ? 100.0 * static_cast<double>(summary.blocks_done) / static_cast<double>(summary.blocks) : 0;
}

}  // namespace

SnapshotSummary summarize(const SnapshotProgress& progress, WallTime now) {
  SnapshotSummary summary;
  summary.state = static_cast<SnapshotRunState>(progress.state.value());
  if (summary.state == SnapshotRunState::kNone) {
    return summary;
  }
  summary.started = wall_time(progress.started_us);
  summary.point = Lsn{static_cast<std::uint64_t>(progress.point_lsn.value())};
  summary.tables = progress.tables.value();
  summary.tables_done = progress.tables_done.value();
  const WallTime end = progress.ended_us.value() > 0 ? wall_time(progress.ended_us) : now;
  summary.elapsed = std::max(end - summary.started, WallTime::duration{});  // somebody may have set the clock
  std::int64_t blocks_before = 0;
  bool all_estimated = true;
  summary.estimated_rows = 0;
  for (const SnapshotTableProgress* table = progress.first(); table != nullptr; table = next(*table)) {
    if (table->run.value() != progress.run.value()) {
      continue;
    }
    summary.rows += table->rows.value();
    summary.bytes += table->bytes.value();
    summary.blocks += table->blocks_total.value();
    summary.blocks_done += table->blocks_done.value();
    summary.estimated_rows += table->estimated_rows.value();
    all_estimated = all_estimated && table->estimated_rows.value() >= 0;
    blocks_before += table->blocks_before.value();
  }
  summary.estimated_rows = all_estimated ? summary.estimated_rows : -1;
  summary.percent = percent(summary);
  summary.eta_seconds = eta_seconds(summary, summary.blocks_done - blocks_before);
  return summary;
}

std::string_view name_of(SnapshotRunState state) {
  switch (state) {
    case SnapshotRunState::kNone:
      return "none";
    case SnapshotRunState::kWaiting:
    case SnapshotRunState::kReading:
      return "running";
    case SnapshotRunState::kDone:
      return "complete";
  }
  return "";
}

std::string_view name_of(SnapshotTableState state) {
  switch (state) {
    case SnapshotTableState::kWaiting:
      return "waiting";
    case SnapshotTableState::kReading:
      return "reading";
    case SnapshotTableState::kDone:
      return "done";
  }
  return "";
}

}  // namespace outboxx
