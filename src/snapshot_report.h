// SnapshotReport: tells people how far a snapshot is. On a terminal a line below the log, drawn five times a second; else a log
// line every ten seconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "base/snapshot_progress.h"
#include "base/time.h"
#include "snapshot_summary.h"

namespace outboxx {

// Per second, of late.
struct SnapshotRates {
  double rows = 0;
  double bytes = 0;
};

// For a line of so many columns: `snapshot  40.0%  [####------]  30,000 rows  5,000 rows/s  1.7 MB/s  ETA 2:00  1/3 tables`.
// What has no room is left out. ASCII.
[[nodiscard]] std::string progress_line(const SnapshotSummary& summary, const SnapshotRates& rates, std::size_t columns);

// One thread.
class SnapshotReport {
 public:
  // progress outlives the report.
  explicit SnapshotReport(const SnapshotProgress& progress) : progress_(progress) {}
  // Takes the line away, as end() does.
  ~SnapshotReport();
  SnapshotReport(const SnapshotReport&) = delete;
  SnapshotReport& operator=(const SnapshotReport&) = delete;

  // Rates count from here.
  void start(TimePoint now);
  // Call it often; it does something when next() has come.
  void turn(TimePoint now);
  [[nodiscard]] TimePoint next() const { return next_; }
  // No more to tell.
  void end();

 private:
  struct Sample {
    TimePoint at;
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;
  };

  [[nodiscard]] SnapshotRates rates_since_oldest(const Sample& sample, std::size_t samples_kept);

  const SnapshotProgress& progress_;
  std::deque<Sample> samples_;  // rates are measured from the oldest
  TimePoint next_ = TimePoint::max();
};

}  // namespace outboxx
