#include "model/snapshot_state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace outboxx {
namespace {

constexpr std::uint32_t kEnd = BlockRange::kToTheEnd;

using Chunks = std::vector<BlockRange>;

TEST(TableSnapshot, IsMissingAsAWholeAtFirst) {
  const TableSnapshot table{.oid = 1, .done = {}};
  EXPECT_EQ(table.missing(10, 4), (Chunks{{0, 4}, {4, 8}, {8, kEnd}}));
  EXPECT_EQ(table.missing(8, 4), (Chunks{{0, 4}, {4, kEnd}}));
  EXPECT_EQ(table.missing(1, 4), (Chunks{{0, kEnd}}));
}

// A row may have come after the blocks were counted.
TEST(TableSnapshot, OfNoBlocksIsOneChunk) {
  EXPECT_EQ((TableSnapshot{.oid = 1, .done = {}}.missing(0, 4)), (Chunks{{0, kEnd}}));
}

TEST(TableSnapshot, LastChunkGoesToTheEndWhereverTheTableEnds) {
  const TableSnapshot grown{.oid = 1, .next_block = 8, .done = {}};
  EXPECT_EQ(grown.missing(20, 100), (Chunks{{8, kEnd}}));
  EXPECT_EQ(grown.missing(5, 100), (Chunks{{8, kEnd}}));  // VACUUM has cut it
  const TableSnapshot almost{.oid = 1, .next_block = 8, .done = {{10, kEnd}}};
  EXPECT_EQ(almost.missing(20, 100), (Chunks{{8, 10}}));
}

// Whatever a record says: a gap beyond the table's end is one chunk, and not four thousand million.
TEST(TableSnapshot, GapBeyondTheEndIsOneChunk) {
  const TableSnapshot table{.oid = 1, .next_block = 0, .done = {{4'000'000'000, kEnd}}};
  EXPECT_EQ(table.missing(3, 1), (Chunks{{0, 1}, {1, 2}, {2, 4'000'000'000}}));
}

TEST(TableSnapshot, KnowsWhatCameOutOfOrder) {
  TableSnapshot table{.oid = 1, .file_node = 2, .xmin = 3, .done = {}};
  table.add({8, 12});
  table.add({4, 6});
  EXPECT_EQ(table, (TableSnapshot{.oid = 1, .file_node = 2, .xmin = 3, .next_block = 0, .done = {{4, 6}, {8, 12}}}));
  EXPECT_EQ(table.missing(20, 4), (Chunks{{0, 4}, {6, 8}, {12, 16}, {16, kEnd}}));
  table.add({6, 8});
  EXPECT_EQ(table.done, (Chunks{{4, 12}}));
  table.add({0, 4});
  EXPECT_EQ(table, (TableSnapshot{.oid = 1, .file_node = 2, .xmin = 3, .next_block = 12, .done = {}}));
}

TEST(TableSnapshot, IsDoneWhenNothingIsMissing) {
  TableSnapshot table{.oid = 1, .file_node = 2, .xmin = 3, .done = {}};
  table.add({4, kEnd});
  EXPECT_FALSE(table.is_done);
  table.add({0, 4});
  EXPECT_EQ(table, (TableSnapshot{.oid = 1, .done = {}, .is_done = true}));
  EXPECT_EQ(table.missing(100, 4), Chunks{});
  table.add({0, 4});
  EXPECT_TRUE(table.is_done);
}

// Against a naive set of blocks: 64 of them, and one that stands for all that lie beyond.
class NaiveTable {
 public:
  static constexpr std::uint32_t kBlocks = 64;

  void add(BlockRange range) {
    for (std::uint32_t block = range.begin; block < std::min(range.end, kBlocks + 1); ++block) {
      arrived_[block] = true;
    }
  }
  [[nodiscard]] bool has(std::uint32_t block) const { return arrived_[std::min(block, kBlocks)]; }
  [[nodiscard]] bool is_done() const {
    return std::ranges::all_of(arrived_, [](bool arrived) { return arrived; });
  }

 private:
  std::vector<bool> arrived_ = std::vector<bool>(kBlocks + 1);
};

// The chunks are exactly what is missing, in order, none larger than asked for but for what lies beyond the table's end.
void expect_same(const TableSnapshot& table, const NaiveTable& naive, std::uint32_t blocks, std::uint32_t blocks_per_chunk) {
  ASSERT_EQ(table.is_done, naive.is_done());
  std::vector<int> covered(NaiveTable::kBlocks + 1);
  std::uint32_t last_end = 0;
  for (const BlockRange& chunk : table.missing(blocks, blocks_per_chunk)) {
    ASSERT_LT(chunk.begin, chunk.end);
    ASSERT_GE(chunk.begin, last_end);
    last_end = chunk.end;
    const std::uint32_t known_end = std::min(chunk.end, blocks);
    ASSERT_TRUE(known_end <= chunk.begin || known_end - chunk.begin <= blocks_per_chunk);
    for (std::uint32_t block = chunk.begin; block < std::min(chunk.end, NaiveTable::kBlocks + 1); ++block) {
      ++covered[block];
    }
  }
  for (std::uint32_t block = 0; block <= NaiveTable::kBlocks; ++block) {
    ASSERT_EQ(covered[block], naive.has(block) ? 0 : 1) << "block " << block;
  }
}

void expect_canonical(const TableSnapshot& table) {
  std::uint32_t last_end = table.next_block;
  for (const BlockRange& range : table.done) {
    ASSERT_GT(range.begin, last_end);
    ASSERT_LT(range.begin, range.end);
    last_end = range.end;
  }
}

TEST(TableSnapshot, AgreesWithANaiveSetOfBlocks) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&random](std::uint32_t end) { return std::uniform_int_distribution<std::uint32_t>(0, end - 1)(random); };
  for (int run = 0; run < 300; ++run) {
    TableSnapshot table{.oid = 1, .done = {}};
    NaiveTable naive;
    while (!table.is_done && !testing::Test::HasFailure()) {
      // Half of the time what is asked for, else anything: an acknowledgement may come twice, after a chunk was cut otherwise.
      BlockRange range{.begin = below(NaiveTable::kBlocks), .end = 0};
      range.end = below(8) == 0 ? kEnd : range.begin + 1 + below(NaiveTable::kBlocks - range.begin);
      if (below(2) == 0) {
        const auto chunks = table.missing(below(NaiveTable::kBlocks), 1 + below(16));
        range = chunks[below(static_cast<std::uint32_t>(chunks.size()))];
      }
      table.add(range);
      naive.add(range);
      expect_same(table, naive, below(NaiveTable::kBlocks + 1), 1 + below(16));
      expect_canonical(table);
    }
  }
}

}  // namespace
}  // namespace outboxx
