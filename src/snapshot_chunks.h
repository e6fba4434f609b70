// The chunks that a snapshot still has to read, from what the tables are and what has arrived before. Pure.
//
// A chunk that arrived was read at the point of its time, and the stream tells what happened since. With two exceptions, of
// rows that an UPDATE moved into blocks that were read already, so that they are no longer where they would still have been
// read: TOASTed values that it did not change are not told, and a stream that does not list "update" (or, for a move to
// another leaf, "insert") tells nothing. So such blocks are read once more, but of them only the rows that are newer than the
// first snapshot of the table (docs/delivery.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/snapshot_state.h"
#include "postgres/snapshot_plan.h"

namespace outboxx {

struct SnapshotChunk {
  std::size_t table = 0;  // index of the tables
  BlockRange range;
  bool only_moved = false;
};

struct SnapshotWork {
  SnapshotState state;                // as it is now, pending: a table for each one of tables, in their order
  std::vector<SnapshotChunk> chunks;  // in the order in which they are to be read
};

// arrived: of the runs before; xmin: of the snapshot that is to be read. Tables whose file node changed are read again.
[[nodiscard]] SnapshotWork plan_chunks(std::span<const SnapshotTable> tables, const SnapshotState& arrived, std::uint32_t xmin,
                                       std::uint64_t chunk_bytes);

}  // namespace outboxx
