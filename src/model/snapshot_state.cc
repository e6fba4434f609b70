#include "model/snapshot_state.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/check.h"

namespace outboxx {
namespace {

// Appends range in chunks. Whatever lies beyond the table's last block, as far as is known, comes with the last chunk.
void append_chunks(std::vector<BlockRange>& chunks, BlockRange range, std::uint32_t blocks, std::uint32_t blocks_per_chunk) {
  const std::uint32_t known_end = std::min(range.end, blocks);
  while (known_end > range.begin && known_end - range.begin > blocks_per_chunk) {
    chunks.push_back({.begin = range.begin, .end = range.begin + blocks_per_chunk});
    range.begin += blocks_per_chunk;
  }
  chunks.push_back(range);
}

}  // namespace

void TableSnapshot::add(BlockRange range) {
  CHECK(range.begin < range.end);
  if (is_done) {
    return;
  }
  done.insert(std::ranges::upper_bound(done, range.begin, {}, &BlockRange::begin), range);
  std::vector<BlockRange> joined;
  for (const BlockRange& next : done) {
    if (next.begin <= next_block) {
      next_block = std::max(next_block, next.end);
    } else if (!joined.empty() && next.begin <= joined.back().end) {
      joined.back().end = std::max(joined.back().end, next.end);
    } else {
      joined.push_back(next);
    }
  }
  done = std::move(joined);
  if (next_block == BlockRange::kToTheEnd) {
    *this = {.oid = oid, .file_node = 0, .xmin = 0, .next_block = 0, .done = {}, .is_done = true};
  }
}

std::vector<BlockRange> TableSnapshot::missing(std::uint32_t blocks, std::uint32_t blocks_per_chunk) const {
  CHECK(blocks_per_chunk > 0);
  std::vector<BlockRange> chunks;
  if (is_done) {
    return chunks;
  }
  std::uint32_t begin = next_block;
  for (const BlockRange& range : done) {
    append_chunks(chunks, {.begin = begin, .end = range.begin}, blocks, blocks_per_chunk);
    begin = range.end;
  }
  if (begin != BlockRange::kToTheEnd) {
    append_chunks(chunks, {.begin = begin, .end = BlockRange::kToTheEnd}, blocks, blocks_per_chunk);
  }
  return chunks;
}

}  // namespace outboxx
