#include "snapshot_chunks.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/snapshot_state.h"
#include "postgres/snapshot_plan.h"

namespace outboxx {
namespace {

// A table in progress whose blocks are no longer what they were begins anew, as does one that is not known.
TableSnapshot progress_of(const SnapshotTable& table, const SnapshotState& arrived, std::uint32_t xmin) {
  const auto known = std::ranges::find(arrived.tables, table.oid, &TableSnapshot::oid);
  if (known != arrived.tables.end() && (known->is_done || known->file_node == table.file_node)) {
    return *known;
  }
  return {.oid = table.oid, .file_node = table.file_node, .xmin = xmin, .next_block = 0, .done = {}, .is_done = false};
}

void append_chunks(std::vector<SnapshotChunk>& chunks, std::size_t table, BlockRange range, std::uint32_t blocks_per_chunk) {
  while (range.end - range.begin > blocks_per_chunk) {
    chunks.push_back(
        {.table = table, .range = {.begin = range.begin, .end = range.begin + blocks_per_chunk}, .only_moved = true});
    range.begin += blocks_per_chunk;
  }
  chunks.push_back({.table = table, .range = range, .only_moved = true});
}

std::vector<BlockRange> arrived_ranges(const TableSnapshot& progress, std::uint32_t blocks) {
  if (progress.is_done) {
    return blocks == 0 ? std::vector{BlockRange{}}
                       : std::vector{BlockRange{.begin = 0, .end = blocks}, BlockRange{.begin = blocks}};
  }
  std::vector<BlockRange> ranges;
  if (progress.next_block > 0) {
    ranges.push_back({.begin = 0, .end = progress.next_block});
  }
  ranges.insert(ranges.end(), progress.done.begin(), progress.done.end());
  // What was the last chunk goes to the end: cut where the table ends now, and the rest is the last again.
  if (!ranges.empty() && ranges.back().end == BlockRange::kToTheEnd && ranges.back().begin < blocks) {
    const BlockRange last = ranges.back();
    ranges.back().end = blocks;
    ranges.push_back({.begin = blocks, .end = last.end});
  }
  return ranges;
}

// From blocks that were not read yet, or from another leaf, without the stream telling all of it.
bool needs_moved_rows(const SnapshotTable& table, const TableSnapshot& progress) {
  const bool is_leaf = table.oid != table.relation.oid;
  return progress.is_done ? is_leaf && !table.stream_tells_moves : table.has_toast || !table.stream_tells_moves;
}

}  // namespace

SnapshotWork plan_chunks(std::span<const SnapshotTable> tables, const SnapshotState& arrived, std::uint32_t xmin,
                         std::uint64_t chunk_bytes) {
  SnapshotWork work{.state = {.is_pending = true, .xmin = arrived.tables.empty() ? xmin : arrived.xmin, .tables = {}},
                    .chunks = {}};
  // Last: that they have arrived is not recorded, and a run that ends early must have come further than the one before.
  std::vector<SnapshotChunk> of_finished;
  for (std::size_t index = 0; index < tables.size(); ++index) {
    const SnapshotTable& table = tables[index];
    TableSnapshot& progress = work.state.tables.emplace_back(progress_of(table, arrived, xmin));
    const std::uint32_t blocks = blocks_per_chunk(table, chunk_bytes);
    std::vector<SnapshotChunk>& moved = progress.is_done ? of_finished : work.chunks;
    if (progress.is_done) {
      progress.xmin = work.state.xmin;
    }
    if (needs_moved_rows(table, progress)) {
      for (const BlockRange& range : arrived_ranges(progress, table.blocks)) {
        if (range.end == BlockRange::kToTheEnd) {
          moved.push_back({.table = index, .range = range, .only_moved = true});
        } else {
          append_chunks(moved, index, range, blocks);
        }
      }
    }
    for (const BlockRange& range : progress.missing(table.blocks, blocks)) {
      work.chunks.push_back({.table = index, .range = range, .only_moved = false});
    }
  }
  work.chunks.insert(work.chunks.end(), of_finished.begin(), of_finished.end());
  return work;
}

}  // namespace outboxx
