// Snapshot: reads tables as they were at one point of the stream, over several connections, and hands the rows to the sink.
//
// The stream is held at that point meanwhile (Session::hold_at()), so that a row can neither be overtaken by an older change of
// its key nor overtake a newer one. The tables are read in chunks. At least once, a chunk has arrived when all its rows are
// acknowledged; exactly once, the rows of a chunk and the record that says so are in one Kafka transaction: rows of no chunk
// are split between two (is_mid_chunk()).
//
// It knows nothing of why the tables are read: one point, the chunks that are missing, and what arrived before.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/snapshot_progress.h"
#include "base/time.h"
#include "format/format.h"
#include "model/change.h"
#include "model/record.h"
#include "model/snapshot_state.h"
#include "model/stream.h"
#include "model/unit_id.h"
#include "postgres/snapshot_point.h"
#include "postgres/snapshot_reader.h"
#include "sink/sink.h"
#include "snapshot_chunks.h"
#include "snapshot_report.h"
#include "snapshot_rows.h"

namespace outboxx {

// The unit of chunk n is kSnapshotUnits + n; transactions have lower numbers, and kProgressUnit is above all.
inline constexpr UnitId kSnapshotUnits = UnitId{1} << 62;
[[nodiscard]] inline bool is_snapshot_unit(UnitId unit) {
  return unit >= kSnapshotUnits && unit != kProgressUnit;
}

// One thread. Never blocks. After an error it is of no more use.
class Snapshot {
 public:
  struct Options {
    FormatOptions format;
    bool is_transactional = false;  // exactly once
    std::uint64_t chunk_bytes = 0;
  };

  // Everything outlives the snapshot.
  struct Parts {
    Sink& sink;
    Metrics& metrics;
    std::span<const StreamConfig> streams;
  };

  // arrived: what runs before have read.
  Snapshot(const Parts& parts, OpenSnapshot open, const SnapshotState& arrived, const Options& options, TimePoint now);
  ~Snapshot() = default;
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  [[nodiscard]] Lsn point() const { return open_.point; }

  // What to poll(2) for; those that are not wanted now have the descriptor -1. Valid until the next call.
  [[nodiscard]] std::span<const pollfd> prepare_wait();
  // Rows are there that poll(2) does not announce: do not wait.
  [[nodiscard]] bool has_more() const { return has_more_ && !rows_.is_blocked(); }
  // When turn() has something to tell people although nothing happened; never once all rows are read.
  [[nodiscard]] TimePoint next_report() const { return all_read() ? TimePoint::max() : report_.next(); }

  // No chunk is begun while it is set; those under way end.
  void set_closing(bool is_closing) { is_closing_ = is_closing; }
  // Takes a bounded number of rows. While the stream is held at the point.
  [[nodiscard]] Result<> turn(TimePoint now);
  void delivered(UnitId unit, std::uint64_t count);

  // Rows of a chunk were accepted by the sink, and not all.
  [[nodiscard]] bool is_mid_chunk() const { return mid_chunk_ > 0 || held_back_ > 0; }
  // All rows were accepted by the sink: the stream may go on.
  [[nodiscard]] bool all_read() const { return chunks_read_ == chunks_.size(); }
  // Nothing is under way: chunks were read and delivered whole, or not begun.
  [[nodiscard]] bool is_settled() const { return !is_mid_chunk() && outstanding_ == 0; }

  // What has arrived; revision is another number after each change.
  [[nodiscard]] const SnapshotState& state() const { return state_; }
  [[nodiscard]] std::uint64_t revision() const { return revision_; }
  // Accepted by the sink so far: records, and the bytes of their keys and values.
  [[nodiscard]] std::uint64_t records() const { return rows_.records(); }
  [[nodiscard]] std::uint64_t bytes() const { return rows_.bytes(); }

 private:
  struct Chunk : SnapshotChunk {
    std::uint64_t outstanding = 0;  // rows accepted by the sink and not delivered
    bool is_read = false;           // all rows were accepted
  };
  struct Table {
    std::vector<std::size_t> streams;  // that want its rows
    SnapshotTableProgress* progress = nullptr;
    std::size_t chunks_left = 0;
    std::size_t moved_left = 0;           // of those, the ones of moved rows
    std::optional<BlockRange> held_back;  // has arrived, and would make the table done: not before the moved rows have
    std::uint64_t rows = 0;
  };
  // A connection and what it reads.
  struct Reading {
    SnapshotReader* reader = nullptr;
    bool is_active = false;
    bool is_begun = false;  // a row was accepted
    std::size_t chunk = 0;
  };

  void prepare_tables(std::span<const StreamConfig> streams);
  void announce();
  [[nodiscard]] bool is_wanted(const Reading& reading) const;
  void begin_reading(TimePoint now);
  [[nodiscard]] Result<> read(Reading& reading);
  [[nodiscard]] Result<> start_next_chunk(Reading& reading);
  void take_row(Reading& reading);
  [[nodiscard]] Result<> offer();
  void end_chunk(Reading& reading);
  void arrive(const Chunk& chunk);
  void end_table(std::size_t table);
  void complete(TimePoint now);

  SnapshotProgress& progress_;
  OpenSnapshot open_;
  bool is_transactional_;
  SnapshotRows rows_;
  std::vector<Chunk> chunks_;
  std::vector<Table> tables_;
  std::vector<Reading> readings_;
  std::vector<pollfd> fds_;
  SnapshotState state_;
  std::uint64_t revision_ = 0;
  std::size_t next_chunk_ = 0;
  std::size_t chunks_read_ = 0;
  std::size_t chunks_arrived_ = 0;
  std::size_t mid_chunk_ = 0;      // chunks with some of their rows accepted
  std::size_t held_back_ = 0;      // tables
  std::uint64_t outstanding_ = 0;  // rows of all chunks
  std::size_t first_reading_ = 0;  // of the next turn, so that all get theirs
  bool is_closing_ = false;
  bool has_more_ = true;
  bool is_complete_ = false;
  Reading* row_reading_ = nullptr;  // whose row is at work
  // For people.
  TimePoint started_at_;
  SnapshotReport report_;
};

}  // namespace outboxx
