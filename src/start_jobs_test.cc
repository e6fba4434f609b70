#include "start_jobs.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "model/snapshot_state.h"
#include "model/state_record.h"
#include "postgres/options.h"

namespace outboxx {
namespace {

const ReadTable kOld{.name = "public.old", .leaves = {10}};
const ReadTable kNew{.name = "public.new", .leaves = {20, 21}};

std::vector<std::uint32_t> known(const StateRecord& state) {
  std::vector<std::uint32_t> oids;
  for (const TableSnapshot& table : state.snapshot.tables) {
    EXPECT_TRUE(table.is_done);
    oids.push_back(table.oid);
  }
  return oids;
}

TEST(AddedTables, AreQueuedOnce) {
  StateRecord state;
  queue_added_tables(std::vector{kOld}, SnapshotMode::kInitial, state);
  EXPECT_TRUE(state.jobs.queue.empty()) << "it was there before";
  queue_added_tables(std::vector{kOld, kNew}, SnapshotMode::kInitial, state);
  ASSERT_EQ(state.jobs.queue.size(), 1U);
  EXPECT_EQ(state.jobs.queue[0].kind, JobKind::kAdded);
  EXPECT_EQ(state.jobs.queue[0].table(), "public.new");
  EXPECT_EQ(known(state), (std::vector<std::uint32_t>{10, 20, 21}));
  queue_added_tables(std::vector{kOld, kNew}, SnapshotMode::kInitial, state);
  EXPECT_EQ(state.jobs.queue.size(), 1U);
}

TEST(AddedTables, NewPartitionsOfAKnownTableAreNone) {
  StateRecord state;
  state.snapshot.tables = {{.oid = 20, .done = {}, .is_done = true}};
  state.jobs.watches_tables = true;
  queue_added_tables(std::vector{kNew}, SnapshotMode::kInitial, state);
  EXPECT_TRUE(state.jobs.queue.empty());
  EXPECT_EQ(known(state), (std::vector<std::uint32_t>{20, 21}));
}

TEST(AddedTables, AreNotReadIfTheConfigurationDoesNotWantThat) {
  StateRecord state;
  state.jobs.watches_tables = true;
  queue_added_tables(std::vector{kNew}, SnapshotMode::kNever, state);
  EXPECT_TRUE(state.jobs.queue.empty());
  queue_added_tables(std::vector{kNew}, SnapshotMode::kInitial, state);
  EXPECT_TRUE(state.jobs.queue.empty()) << "it is there already";
}

}  // namespace
}  // namespace outboxx
