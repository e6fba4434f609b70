#include "snapshot_report.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <regex>
#include <string>

#include "base/log_testing.h"
#include "base/snapshot_progress.h"
#include "base/time.h"
#include "snapshot_summary.h"
#include "snapshot_testing.h"

namespace outboxx {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SnapshotRates kRates{.rows = 812'345.4, .bytes = 96'540'000};

SnapshotSummary half_way() {
  SnapshotProgress progress;
  set_half_way(progress);
  return summarize(progress, WallTime(microseconds(kSnapshotStartedUs)) + seconds(60));
}

TEST(ProgressLine, HasEverythingWhereThereIsRoom) {
  EXPECT_EQ(progress_line(half_way(), kRates, 200),
            "snapshot  40.0%  [################------------------------]  30,000 rows  812k rows/s  96.5 MB/s  ETA 2:00  "
            "1/3 tables");
}

TEST(ProgressLine, GetsByWithTheColumnsThereAre) {
  const SnapshotSummary summary = half_way();
  const auto line = [&](std::size_t columns) { return progress_line(summary, kRates, columns); };
  EXPECT_EQ(line(91), "snapshot  40.0%  [#####--------]  30,000 rows  812k rows/s  96.5 MB/s  ETA 2:00  1/3 tables");
  EXPECT_EQ(line(88), "snapshot  40.0%  [####------]  30,000 rows  812k rows/s  96.5 MB/s  ETA 2:00  1/3 tables");
  EXPECT_EQ(line(87), "snapshot  40.0%  [########-------------]  30,000 rows  812k rows/s  96.5 MB/s  ETA 2:00");
  EXPECT_EQ(line(74), "snapshot  40.0%  [#######------------]  30,000 rows  812k rows/s  ETA 2:00");
  EXPECT_EQ(line(60), "snapshot  40.0%  30,000 rows  812k rows/s  ETA 2:00");
  EXPECT_EQ(line(45), "snapshot  40.0%  812k rows/s  ETA 2:00");
  EXPECT_EQ(line(30), "snapshot  40.0%  ETA 2:00");
  EXPECT_EQ(line(20), "snapshot  40.0%");
  for (std::size_t columns = 0; columns < 200; ++columns) {
    EXPECT_LE(line(columns).size(), columns);
  }
}

TEST(ProgressLine, TellsHoursAndWhatItDoesNotKnowYetAndOneTableAsOne) {
  SnapshotSummary summary = half_way();
  summary.tables = 1;
  summary.percent = 99.97;
  summary.rows = 1'234'567'890;
  summary.eta_seconds = 3'725;
  EXPECT_EQ(progress_line(summary, {.rows = 12'345'678, .bytes = 1'512'400'000}, 85),
            "snapshot  99.9%  [#########-]  1,234,567,890 rows  12M rows/s  1512 MB/s  ETA 1:02:05");
  summary.percent = 0;
  summary.rows = 0;
  summary.eta_seconds.reset();
  EXPECT_EQ(progress_line(summary, {}, 70), "snapshot   0.0%  [-------------]  0 rows  0 rows/s  0.0 MB/s  ETA -:--");
}

// ETA depends on the wall clock.
std::string without_eta(const std::string& text) {
  return std::regex_replace(text, std::regex(R"((ETA |eta_seconds=)[\d:]+)"), "$1TIME");
}

TEST(SnapshotReport, DrawsALineFiveTimesASecondOnATerminal) {
  const StderrTerminal terminal(60);
  SnapshotProgress progress;
  set_half_way(progress);
  {
    SnapshotReport report(progress);
    const TimePoint start{seconds(1'000)};
    EXPECT_EQ(report.next(), TimePoint::max());
    report.start(start);
    EXPECT_EQ(report.next(), start);
    report.turn(start);
    EXPECT_EQ(without_eta(terminal.read_lines()), "\r\x1b[Ksnapshot  40.0%  30,000 rows  0 rows/s  ETA TIME");
    EXPECT_EQ(report.next(), start + milliseconds(200));
    progress.table("public.orders").rows.add(1'000);
    progress.table("public.orders").bytes.add(500'000);
    report.turn(start + milliseconds(199));
    EXPECT_EQ(terminal.read_lines(), "");
    report.turn(start + milliseconds(200));
    EXPECT_EQ(without_eta(terminal.read_lines()), "\r\x1b[Ksnapshot  40.0%  31,000 rows  5,000 rows/s  ETA TIME");
  }
  EXPECT_EQ(terminal.read_lines(), "\r\x1b[K");
}

TEST(SnapshotReport, RatesAreThoseOfTheLastFiveSeconds) {
  const StderrTerminal terminal(200);
  SnapshotProgress progress;
  set_half_way(progress);
  SnapshotReport report(progress);
  TimePoint now{seconds(1'000)};
  report.start(now);
  const auto line_after_turns = [&](int turns, std::uint64_t rows_a_turn) {
    std::string line;
    for (int turn = 0; turn < turns; ++turn) {
      progress.table("public.orders").rows.add(rows_a_turn);
      report.turn(now += milliseconds(200));
      line = terminal.read_lines();
    }
    return line;
  };
  EXPECT_NE(line_after_turns(30, 1'000).find("  5,000 rows/s  "), std::string::npos);
  EXPECT_NE(line_after_turns(24, 2'000).find("  9,800 rows/s  "), std::string::npos);
  EXPECT_NE(line_after_turns(1, 2'000).find("  10k rows/s  "), std::string::npos);
}

TEST(SnapshotReport, LogsEveryTenSecondsElsewhere) {
  const StderrPipe pipe;
  SnapshotProgress progress;
  set_half_way(progress);
  SnapshotReport report(progress);
  const TimePoint start{seconds(1'000)};
  report.start(start);
  EXPECT_EQ(report.next(), start + seconds(10));
  progress.table("public.orders").rows.add(50'000);
  progress.table("public.orders").bytes.add(100'000);
  report.turn(start + seconds(9));
  EXPECT_EQ(pipe.read_lines(), "");
  report.turn(start + seconds(10));
  EXPECT_EQ(
      without_eta(pipe.read_lines()),
      "TIME INFO  snapshot in progress percent=40 rows=80000 rows_per_second=5000 bytes_per_second=10000 eta_seconds=TIME "
      "tables_done=1 tables=3\n");
  report.turn(start + seconds(20));
  EXPECT_NE(pipe.read_lines().find(" rows=80000 rows_per_second=0 "), std::string::npos) << "since the last line";
  report.end();
  report.turn(start + seconds(40));
  EXPECT_EQ(pipe.read_lines(), "");
  EXPECT_EQ(report.next(), TimePoint::max());
}

}  // namespace
}  // namespace outboxx
