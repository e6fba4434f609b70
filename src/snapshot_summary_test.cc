#include "snapshot_summary.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <utility>

#include "base/lsn.h"
#include "base/snapshot_progress.h"
#include "base/time.h"
#include "snapshot_testing.h"

namespace outboxx {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

const WallTime kStarted{microseconds(kSnapshotStartedUs)};

TEST(SnapshotSummary, AddsUpTheTables) {
  SnapshotProgress progress;
  set_half_way(progress);
  const SnapshotSummary summary = summarize(progress, kStarted + seconds(60));
  EXPECT_EQ(summary.state, SnapshotRunState::kReading);
  EXPECT_TRUE(summary.is_running());
  EXPECT_EQ(summary.started, kStarted);
  EXPECT_EQ(summary.elapsed, seconds(60));
  EXPECT_EQ(to_string(summary.point), "16/B374D848");
  EXPECT_EQ(summary.tables, 3);
  EXPECT_EQ(summary.tables_done, 1);
  EXPECT_EQ(summary.rows, 30'000U);
  EXPECT_EQ(summary.bytes, 10'000'000U);
  EXPECT_EQ(summary.blocks, 1'000);
  EXPECT_EQ(summary.blocks_done, 400);
  EXPECT_EQ(summary.estimated_rows, 101'990);
  EXPECT_EQ(summary.percent, 40);
}

TEST(SnapshotSummary, EtaFollowsFromTheBlocksOfThisRunAlone) {
  SnapshotProgress progress;
  set_half_way(progress);
  EXPECT_EQ(summarize(progress, kStarted + seconds(60)).eta_seconds, 120) << "300 blocks in 60 s, 600 to go";
  set_table(progress, "public.orders", {.blocks_before = 400, .blocks_done = 350, .blocks = 900});
  EXPECT_EQ(summarize(progress, kStarted + seconds(60)).eta_seconds, std::nullopt) << "no block yet";
  set_half_way(progress);
  progress.state.set(std::to_underlying(SnapshotRunState::kDone));
  EXPECT_EQ(summarize(progress, kStarted + seconds(60)).eta_seconds, std::nullopt);
}

TEST(SnapshotSummary, LeavesOutTablesOfRunsBefore) {
  SnapshotProgress progress;
  set_half_way(progress);
  progress.run.set(3);
  set_table(progress, "public.later", {.rows = 5, .bytes = 6, .blocks_done = 1, .blocks = 4, .estimated_rows = 7});
  const SnapshotSummary summary = summarize(progress, kStarted);
  EXPECT_EQ(summary.rows, 5U);
  EXPECT_EQ(summary.bytes, 6U);
  EXPECT_EQ(summary.percent, 25);
  EXPECT_EQ(summary.estimated_rows, 7);
}

TEST(SnapshotSummary, EstimatesNoRowsIfOneTableHasNoEstimate) {
  SnapshotProgress progress;
  set_half_way(progress);
  set_table(progress, "public.notes", {.blocks = 50});
  EXPECT_EQ(summarize(progress, kStarted).estimated_rows, -1);
}

TEST(SnapshotSummary, ACompleteOneIsAllOfItsTablesAlsoIfTheyAreEmpty) {
  SnapshotProgress progress;
  progress.started_us.set(kSnapshotStartedUs);
  progress.state.set(std::to_underlying(SnapshotRunState::kReading));
  set_table(progress, "public.empty", {.estimated_rows = 0});
  EXPECT_EQ(summarize(progress, kStarted).percent, 0);
  progress.state.set(std::to_underlying(SnapshotRunState::kDone));
  EXPECT_EQ(summarize(progress, kStarted).percent, 100);
}

TEST(SnapshotSummary, TimeStandsWhenItHasEndedAndIsNeverNegative) {
  SnapshotProgress progress;
  set_half_way(progress);
  EXPECT_EQ(summarize(progress, kStarted - seconds(1)).elapsed, seconds(0));
  progress.ended_us.set(kSnapshotStartedUs + 5'000'000);
  EXPECT_EQ(summarize(progress, kStarted + seconds(60)).elapsed, seconds(5));
}

TEST(SnapshotSummary, NothingIsKnownOfNone) {
  const SnapshotSummary summary = summarize(SnapshotProgress(), kStarted);
  EXPECT_EQ(summary.state, SnapshotRunState::kNone);
  EXPECT_FALSE(summary.is_running());
  EXPECT_EQ(summary.elapsed, seconds(0));
  EXPECT_EQ(summary.estimated_rows, -1);
}

}  // namespace
}  // namespace outboxx
