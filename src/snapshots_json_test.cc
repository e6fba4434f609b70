#include "snapshots_json.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/snapshot_progress.h"
#include "base/time.h"
#include "model/snapshot_job.h"
#include "snapshot_mailbox.h"
#include "snapshot_testing.h"

namespace outboxx {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

const WallTime kNow = WallTime(microseconds(kSnapshotStartedUs)) + milliseconds(70'900);

TEST(SnapshotsJson, TellsHowFarItIs) {
  SnapshotProgress progress;
  set_half_way(progress);
  EXPECT_EQ(snapshots_json(progress, {}, kNow),
            R"({"state":"running","started":"2025-11-24T16:00:00Z","point":"16/B374D848","seconds":70,"percent":40.0,)"
            R"("eta_seconds":142,"totals":{"tables":3,"tables_done":1,"rows":30000,"bytes":10000000,"blocks_done":400,)"
            R"("blocks":1000,"estimated_rows":101990},"tables":[)"
            R"({"table":"public.customers","state":"done","rows":5000,"bytes":1000000,"blocks_done":50,"blocks":50,)"
            R"("estimated_rows":4990},)"
            R"({"table":"public.orders","state":"reading","rows":25000,"bytes":9000000,"blocks_done":350,"blocks":900,)"
            R"("estimated_rows":90000},)"
            R"({"table":"public.notes","state":"waiting","rows":0,"bytes":0,"blocks_done":0,"blocks":50,"estimated_rows":7000})"
            R"(],"jobs":[]})"
            "\n");
}

TEST(SnapshotsJson, KnowsNothingOfNone) {
  EXPECT_EQ(snapshots_json(SnapshotProgress(), {}, kNow),
            R"({"state":"none","started":null,"point":null,"seconds":0,"percent":0.0,"eta_seconds":null,)"
            R"("totals":{"tables":0,"tables_done":0,"rows":0,"bytes":0,"blocks_done":0,"blocks":0,"estimated_rows":null},)"
            R"("tables":[],"jobs":[]})"
            "\n");
}

TEST(SnapshotsJson, TellsTheJobs) {
  const std::vector<JobView> jobs{
      {.job = {.id = 17, .tables = {"public.a", "public.b"}, .where = "x = 'y'", .tables_done = 1, .rows = 2000},
       .state = "running"},
      {.job = {.id = 3, .kind = JobKind::kAdded, .tables = {"public.c"}, .where = {}},
       .state = "failed",
       .reason = "no such column"}};
  EXPECT_TRUE(snapshots_json(SnapshotProgress(), jobs, kNow)
                  .ends_with(R"("jobs":[{"id":17,"state":"running","kind":"requested","tables":["public.a","public.b"],)"
                             R"("tables_done":1,"rows":2000,"where":"x = 'y'"},)"
                             R"({"id":3,"state":"failed","kind":"added","tables":["public.c"],"tables_done":0,"rows":0,)"
                             R"("reason":"no such column"}]})"
                             "\n"));
}

TEST(SnapshotsJson, NeverSaysAHundredPercentBeforeItIsComplete) {
  SnapshotProgress progress;
  set_half_way(progress);
  set_table(progress, "public.orders", {.blocks_done = 949'900, .blocks = 949'950});
  EXPECT_NE(snapshots_json(progress, {}, kNow).find(R"("percent":99.9,)"), std::string::npos);
  progress.state.set(std::to_underlying(SnapshotRunState::kDone));
  EXPECT_NE(snapshots_json(progress, {}, kNow).find(R"({"state":"complete")"), std::string::npos);
  EXPECT_NE(snapshots_json(progress, {}, kNow).find(R"("percent":100.0,"eta_seconds":null,)"), std::string::npos);
}

TEST(SnapshotsJson, LeavesOutTablesOfRunsBeforeAndReplacesWhatIsNotUtf8) {
  SnapshotProgress progress;
  set_half_way(progress);
  progress.run.set(3);
  set_table(progress, "public.a\"\xFF", {});
  const std::string json = snapshots_json(progress, {}, kNow);
  EXPECT_TRUE(
      json.ends_with("\"tables\":[{\"table\":\"public.a\\\"\xEF\xBF\xBD\",\"state\":\"waiting\",\"rows\":0,\"bytes\":0,"
                     "\"blocks_done\":0,\"blocks\":0,\"estimated_rows\":null}],\"jobs\":[]}\n"))
      << json;
}

}  // namespace
}  // namespace outboxx
