// SnapshotRows: hands rows that were read at one point of the stream to the sink, one record per stream that wants them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/time.h"
#include "format/format.h"
#include "model/change.h"
#include "model/record.h"
#include "model/relation.h"
#include "model/stream.h"
#include "model/unit_id.h"
#include "sink/sink.h"

namespace outboxx {

// One thread. One row at a time: after take(), offer() until is_blocked() is false.
class SnapshotRows {
 public:
  // Everything outlives it.
  SnapshotRows(Sink& sink, Metrics& metrics, std::span<const StreamConfig> streams, const FormatOptions& options);

  // Of the rows that follow; made_at is what their consumers see as the time.
  void set_point(Lsn point, WallTime made_at);

  // row, relation and streams stay valid until the row is through.
  void take(Tuple row, const Relation& relation, std::span<const std::size_t> streams);

  struct Accepted {
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;  // of their keys and values
  };
  // What the sink accepted now. Where it is full it goes on when called again.
  [[nodiscard]] Result<Accepted> offer(UnitId unit);
  // A row waits for the sink.
  [[nodiscard]] bool is_blocked() const { return !pending_.empty(); }

  // The row that waits is not sent any more.
  void drop() { pending_ = {}; }

  // Since the point was set.
  [[nodiscard]] std::uint64_t rows() const { return next_ordinal_; }
  // In all.
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] Lsn point() const { return transaction_.final_lsn; }
  [[nodiscard]] WallTime made_at() const { return transaction_.commit_time; }

 private:
  Sink& sink_;
  Metrics& metrics_;
  std::vector<std::unique_ptr<Format>> formats_;  // by stream
  Transaction transaction_;
  Change change_;
  std::span<const std::size_t> pending_;  // streams that have not yet got it
  std::uint32_t part_ = 0;
  bool is_serialized_ = false;
  std::uint64_t next_ordinal_ = 0;
  Record record_;
  std::uint64_t records_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace outboxx
