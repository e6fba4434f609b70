// SnapshotState: what of a snapshot has arrived, as the state record keeps it, so that a restart goes on with what is missing.
//
// A table is read in chunks of its blocks. Chunks end out of order, as many as there are connections: below next_block
// everything has arrived, and beyond it the ranges in done.
#pragma once

#include <cstdint>
#include <vector>

#include "base/lsn.h"

namespace outboxx {

// Blocks of a table's heap, [begin, end). end kToTheEnd: whatever the table's last block is.
struct BlockRange {
  static constexpr std::uint32_t kToTheEnd = 0xFFFFFFFF;

  std::uint32_t begin = 0;
  std::uint32_t end = kToTheEnd;

  friend bool operator==(const BlockRange&, const BlockRange&) = default;
};

struct TableSnapshot {
  std::uint32_t oid = 0;        // of the leaf that is read
  std::uint32_t file_node = 0;  // block numbers mean nothing after it changed
  std::uint32_t xmin = 0;       // of the first snapshot that read the table: rows of newer transactions may have moved
  std::uint32_t next_block = 0;
  std::vector<BlockRange> done;  // beyond next_block, sorted, apart from each other
  bool is_done = false;          // then of all else only oid is kept

  // A chunk has arrived. The one that ends at kToTheEnd is not the last to arrive: is_done follows when nothing is missing.
  void add(BlockRange range);
  // What is missing, cut into chunks of so many blocks. blocks: of the table now; the last chunk goes to the end.
  [[nodiscard]] std::vector<BlockRange> missing(std::uint32_t blocks, std::uint32_t blocks_per_chunk) const;

  friend bool operator==(const TableSnapshot&, const TableSnapshot&) = default;
};

struct SnapshotState {
  bool is_pending = false;              // the slot is made, the snapshot is not complete
  std::uint32_t xmin = 0;               // of the first snapshot that read any; 0: older than every row, as far as is known
  std::vector<TableSnapshot> tables{};  // by oid; one that is not here is missing as a whole

  friend bool operator==(const SnapshotState&, const SnapshotState&) = default;
};

}  // namespace outboxx
