#include "snapshot_chunks.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "model/snapshot_state.h"
#include "postgres/snapshot_plan.h"

namespace outboxx {
namespace {

constexpr std::uint32_t kEnd = BlockRange::kToTheEnd;
constexpr std::uint64_t kBlock = 8192;

SnapshotTable table_of(std::uint32_t oid, std::uint32_t blocks, bool has_toast = false) {
  SnapshotTable table;
  table.oid = oid;
  table.file_node = oid + 1000;
  table.blocks = blocks;
  table.bytes = blocks * kBlock;
  table.has_toast = has_toast;
  table.stream_tells_moves = true;
  table.relation.oid = oid;
  return table;
}

TableSnapshot progress_of(const SnapshotTable& table, std::uint32_t next_block, std::vector<BlockRange> done = {}) {
  return {.oid = table.oid,
          .file_node = table.file_node,
          .xmin = 700,
          .next_block = next_block,
          .done = std::move(done),
          .is_done = false};
}

// "1[0,4) 1[4,end) moved 2[0,3)": of which table, by index.
std::string chunks(const SnapshotWork& work) {
  std::string text;
  for (const SnapshotChunk& chunk : work.chunks) {
    const std::string end = chunk.range.end == kEnd ? "end" : std::to_string(chunk.range.end);
    text += (text.empty() ? "" : " ") + std::string(chunk.only_moved ? "moved " : "") + std::to_string(chunk.table) + "[" +
            std::to_string(chunk.range.begin) + "," + end + ")";
  }
  return text;
}

std::string planned(const std::vector<SnapshotTable>& tables, const SnapshotState& arrived = {}) {
  return chunks(plan_chunks(tables, arrived, 900, 4 * kBlock));
}

TEST(SnapshotChunks, ReadsEveryTableToItsEnd) {
  EXPECT_EQ(planned({table_of(1, 10), table_of(2, 0), table_of(3, 4)}), "0[0,4) 0[4,8) 0[8,end) 1[0,end) 2[0,end)");
}

TEST(SnapshotChunks, GoesOnWithWhatIsMissing) {
  const SnapshotTable first = table_of(1, 12);
  const SnapshotTable second = table_of(2, 4);
  TableSnapshot done = progress_of(second, 0);
  done.add({.begin = 0, .end = kEnd});
  EXPECT_EQ(planned({first, second, table_of(3, 1)}, {.is_pending = true, .tables = {progress_of(first, 4, {{8, 10}}), done}}),
            "0[4,8) 0[10,end) 2[0,end)");
}

TEST(SnapshotChunks, ReadsMovedRowsOfWhatHasArrivedIfThereIsToast) {
  const SnapshotTable table = table_of(1, 20, true);
  EXPECT_EQ(planned({table}, {.is_pending = true, .tables = {progress_of(table, 6, {{8, 10}, {18, kEnd}})}}),
            "moved 0[0,4) moved 0[4,6) moved 0[8,10) moved 0[18,20) moved 0[20,end) 0[6,8) 0[10,14) 0[14,18)");
}

TEST(SnapshotChunks, ReadsMovedRowsOfWhatHasArrivedIfTheStreamDoesNotTellMoves) {
  SnapshotTable table = table_of(1, 10);
  table.stream_tells_moves = false;
  EXPECT_EQ(planned({table}, {.is_pending = true, .tables = {progress_of(table, 8)}}), "moved 0[0,4) moved 0[4,8) 0[8,end)");
}

TEST(SnapshotChunks, ReadsMovedRowsOfAFinishedLeafIfTheStreamDoesNotTellMoves) {
  SnapshotTable leaf = table_of(1, 6);
  leaf.relation.oid = 9;
  TableSnapshot done = progress_of(leaf, 0);
  done.add({.begin = 0, .end = kEnd});
  EXPECT_EQ(planned({leaf}, {.is_pending = true, .xmin = 700, .tables = {done}}), "");
  leaf.stream_tells_moves = false;
  const SnapshotWork work =
      plan_chunks(std::vector{leaf}, {.is_pending = true, .xmin = 700, .tables = {done}}, 900, 4 * kBlock);
  EXPECT_EQ(chunks(work), "moved 0[0,4) moved 0[4,6) moved 0[6,end)");
  EXPECT_EQ(work.state.tables[0].xmin, 700);
  EXPECT_EQ(planned({leaf, table_of(2, 2)}, {.is_pending = true, .tables = {done}}),
            "1[0,end) moved 0[0,4) moved 0[4,6) moved 0[6,end)");
  leaf.blocks = 0;
  EXPECT_EQ(planned({leaf}, {.is_pending = true, .tables = {done}}), "moved 0[0,end)");
}

TEST(SnapshotChunks, XminIsThatOfTheFirstSnapshot) {
  const SnapshotTable table = table_of(1, 6);
  EXPECT_EQ(plan_chunks(std::vector{table}, {.is_pending = true, .tables = {}}, 900, kBlock).state.xmin, 900);
  const SnapshotState arrived{.is_pending = true, .xmin = 700, .tables = {progress_of(table, 2)}};
  EXPECT_EQ(plan_chunks(std::vector{table}, arrived, 900, kBlock).state.xmin, 700);
}

TEST(SnapshotChunks, RowsThatMovedAreThoseNewerThanTheFirstSnapshot) {
  const SnapshotTable table = table_of(1, 20, true);
  const SnapshotWork work =
      plan_chunks(std::vector{table, table_of(2, 1)}, {.is_pending = true, .tables = {progress_of(table, 6)}}, 900, kBlock);
  EXPECT_EQ(work.state.tables[0].xmin, 700);
  EXPECT_EQ(work.state.tables[1].xmin, 900);
}

TEST(SnapshotChunks, TableThatWasRewrittenIsReadAgain) {
  SnapshotTable table = table_of(1, 8, true);
  const SnapshotState arrived{.is_pending = true, .tables = {progress_of(table, 6)}};
  table.file_node = 4711;
  const SnapshotWork work = plan_chunks(std::vector{table}, arrived, 900, 4 * kBlock);
  EXPECT_EQ(chunks(work), "0[0,4) 0[4,end)");
  EXPECT_EQ(work.state.tables[0],
            (TableSnapshot{.oid = 1, .file_node = 4711, .xmin = 900, .next_block = 0, .done = {}, .is_done = false}));
}

TEST(SnapshotChunks, TableThatIsDoneStaysDoneWhateverItsFileNode) {
  SnapshotTable table = table_of(1, 8);
  TableSnapshot done = progress_of(table, 0);
  done.add({.begin = 0, .end = kEnd});
  table.file_node = 4711;
  EXPECT_EQ(planned({table}, {.is_pending = true, .tables = {done}}), "");
}

TEST(SnapshotChunks, TableThatIsGoneIsForgotten) {
  const SnapshotTable table = table_of(1, 8);
  const SnapshotWork work =
      plan_chunks(std::vector{table_of(2, 1)}, {.is_pending = true, .tables = {progress_of(table, 6)}}, 900, kBlock);
  ASSERT_EQ(work.state.tables.size(), 1);
  EXPECT_EQ(work.state.tables[0].oid, 2);
}

}  // namespace
}  // namespace outboxx
