#include "snapshot.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/snapshot_progress.h"
#include "base/time.h"
#include "format/format.h"
#include "model/change.h"
#include "model/event_id.h"
#include "model/snapshot_state.h"
#include "model/stream.h"
#include "model/unit_id.h"
#include "postgres/snapshot_plan.h"
#include "postgres/snapshot_point.h"
#include "postgres/snapshot_reader.h"
#include "router.h"
#include "sink/sink.h"
#include "snapshot_chunks.h"

namespace outboxx {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Of one connection, before the next one and the rest of the loop have their turn.
constexpr int kRowsPerTurn = 512;

// For people; names that need quotes keep them where they stand apart.
std::string plain_name(const SnapshotTable& table) {
  std::string name = table.quoted_name;
  std::erase(name, '"');
  return name;
}

std::int64_t blocks_in(BlockRange range, std::uint32_t blocks) {
  const std::uint32_t end = std::min(range.end, blocks);
  return end > range.begin ? end - range.begin : 0;
}

std::int64_t blocks_done(const TableSnapshot& table, std::uint32_t blocks) {
  std::int64_t count = table.is_done ? blocks : std::min(table.next_block, blocks);
  for (const BlockRange& range : table.done) {
    count += blocks_in(range, blocks);
  }
  return count;
}

std::int64_t per_second(std::uint64_t count, Duration duration) {
  const auto ms = std::max<milliseconds::rep>(duration_cast<milliseconds>(duration).count(), 1);
  return static_cast<std::int64_t>(count) * 1000 / ms;
}

void set_state(Gauge& gauge, SnapshotTableState state) {
  gauge.set(std::to_underlying(state));
}

}  // namespace

Snapshot::Snapshot(const Parts& parts, OpenSnapshot open, const SnapshotState& arrived, const Options& options, TimePoint now)
    : progress_(parts.metrics.snapshot),
      open_(std::move(open)),
      is_transactional_(options.is_transactional),
      rows_(parts.sink, parts.metrics, parts.streams, options.format),
      started_at_(now),
      report_(progress_) {
  rows_.set_point(open_.point, wall_now());
  for (SnapshotReader& reader : open_.readers) {
    readings_.push_back({.reader = &reader});
  }
  SnapshotWork work = plan_chunks(open_.tables, arrived, open_.xmin, options.chunk_bytes);
  state_ = std::move(work.state);
  prepare_tables(parts.streams);
  for (const SnapshotChunk& chunk : work.chunks) {
    chunks_.push_back({chunk});
    ++tables_[chunk.table].chunks_left;
    tables_[chunk.table].moved_left += chunk.only_moved ? 1 : 0;
  }
  announce();
  report_.start(now);
  if (chunks_.empty()) {
    complete(now);
  }
}

void Snapshot::prepare_tables(std::span<const StreamConfig> streams) {
  Router router(streams);
  progress_.run.set(progress_.run.value() + 1);
  tables_.resize(open_.tables.size());
  for (std::size_t index = 0; index < tables_.size(); ++index) {
    const SnapshotTable& table = open_.tables[index];
    const auto wanting = router.route(table.relation, Operation::kRead);
    tables_[index].streams.assign(wanting.begin(), wanting.end());
    SnapshotTableProgress& progress = progress_.table(plain_name(table));
    progress.blocks_total.set(table.blocks);
    progress.bytes_total.set(static_cast<std::int64_t>(table.bytes));
    // Never analyzed, then.
    const bool is_unknown = table.estimated_rows == 0 && table.blocks > 0;
    progress.estimated_rows.set(is_unknown ? -1 : static_cast<std::int64_t>(table.estimated_rows));
    progress.blocks_done.set(blocks_done(state_.tables[index], table.blocks));
    progress.blocks_before.set(progress.blocks_done.value());
    progress.run.set(progress_.run.value());
    set_state(progress.state, state_.tables[index].is_done ? SnapshotTableState::kDone : SnapshotTableState::kWaiting);
    tables_[index].progress = &progress;
  }
}

void Snapshot::announce() {
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  std::int64_t done = 0;
  const auto again = std::ranges::count_if(chunks_, &SnapshotChunk::only_moved);
  for (std::size_t index = 0; index < tables_.size(); ++index) {
    rows += open_.tables[index].estimated_rows;
    bytes += open_.tables[index].bytes;
    done += tables_[index].chunks_left == 0 ? 1 : 0;
  }
  progress_.state.set(std::to_underlying(SnapshotRunState::kWaiting));
  progress_.started_us.set(rows_.made_at().time_since_epoch().count());
  progress_.ended_us.set(0);
  progress_.point_lsn.set(static_cast<std::int64_t>(open_.point.value));
  progress_.connections.set(static_cast<std::int64_t>(readings_.size()));
  progress_.tables.set(static_cast<std::int64_t>(tables_.size()));
  progress_.tables_done.set(done);
  log::info("snapshot started", {{"point", open_.point},
                                 {"tables", tables_.size()},
                                 {"tables_done", done},
                                 {"estimated_rows", rows},
                                 {"bytes", bytes},
                                 {"chunks", chunks_.size() - static_cast<std::size_t>(again)},
                                 {"chunks_again", again},
                                 {"connections", readings_.size()}});
}

std::span<const pollfd> Snapshot::prepare_wait() {
  fds_.clear();
  for (const Reading& reading : readings_) {
    const bool is_polled = reading.is_active && is_wanted(reading);
    fds_.push_back(is_polled ? reading.reader->poll_fd() : pollfd{.fd = -1, .events = 0, .revents = 0});
  }
  return fds_;
}

// Not before the sink took what waits, and no first row of a chunk while none is to be begun.
bool Snapshot::is_wanted(const Reading& reading) const {
  const bool may_begin = !is_closing_ || (reading.is_active && tables_[chunks_[reading.chunk].table].held_back);
  return !rows_.is_blocked() && (reading.is_begun || may_begin) && (reading.is_active || next_chunk_ < chunks_.size());
}

Result<> Snapshot::turn(TimePoint now) {
  begin_reading(now);
  has_more_ = false;
  if (rows_.is_blocked()) {
    TRY(offer());
  }
  for (std::size_t count = 0; count < readings_.size() && !rows_.is_blocked(); ++count) {
    TRY(read(readings_[(first_reading_ + count) % readings_.size()]));
  }
  ++first_reading_;
  if (all_read() && !open_.readers.empty()) {
    readings_.clear();
    open_.readers.clear();  // the server may forget the snapshot, and the tables are free
  }
  report_.turn(now);
  return {};
}

// The first turn: until then, the stream had to come to the point.
void Snapshot::begin_reading(TimePoint now) {
  if (progress_.state.value() != std::to_underlying(SnapshotRunState::kWaiting)) {
    return;
  }
  progress_.state.set(std::to_underlying(SnapshotRunState::kReading));
  log::info("snapshot: the stream has come to its point, reading",
            {{"point", open_.point}, {"waited_ms", duration_cast<milliseconds>(now - started_at_).count()}});
}

Result<> Snapshot::read(Reading& reading) {
  for (int rows = 0; rows < kRowsPerTurn; ++rows) {
    if (!is_wanted(reading)) {
      return {};
    }
    if (!reading.is_active) {
      TRY(start_next_chunk(reading));
    }
    switch (TRY(reading.reader->next())) {
      case SnapshotReader::Step::kNothingYet:
        return {};
      case SnapshotReader::Step::kEnded:
        end_chunk(reading);
        break;
      case SnapshotReader::Step::kRow:
        take_row(reading);
        TRY(offer());
        break;
    }
  }
  has_more_ = true;
  return {};
}

Result<> Snapshot::start_next_chunk(Reading& reading) {
  reading.chunk = next_chunk_++;
  reading.is_active = true;
  const SnapshotChunk& chunk = chunks_[reading.chunk];
  const SnapshotTable& table = open_.tables[chunk.table];
  set_state(tables_[chunk.table].progress->state, SnapshotTableState::kReading);
  return reading.reader->start(table, chunk.only_moved
                                          ? copy_moved_statement(table, chunk.range, state_.tables[chunk.table].xmin)
                                          : copy_statement(table, chunk.range));
}

void Snapshot::take_row(Reading& reading) {
  const std::size_t table = chunks_[reading.chunk].table;
  rows_.take(reading.reader->row(), open_.tables[table].relation, tables_[table].streams);
  row_reading_ = &reading;
}

// Stops where the sink is full and goes on there when called again.
Result<> Snapshot::offer() {
  Reading& reading = *row_reading_;
  Chunk& chunk = chunks_[reading.chunk];
  auto accepted = rows_.offer(kSnapshotUnits + reading.chunk);
  if (!accepted) {
    return fail_with_context("could not send a row of table " + open_.tables[chunk.table].quoted_name,
                             std::move(accepted).error());
  }
  if (accepted->records > 0) {
    mid_chunk_ += std::exchange(reading.is_begun, true) ? 0 : 1;
    chunk.outstanding += accepted->records;
    outstanding_ += accepted->records;
    tables_[chunk.table].progress->bytes.add(accepted->bytes);
  }
  if (!rows_.is_blocked()) {
    ++tables_[chunk.table].rows;
    tables_[chunk.table].progress->rows.add();
  }
  return {};
}

void Snapshot::end_chunk(Reading& reading) {
  Chunk& chunk = chunks_[reading.chunk];
  mid_chunk_ -= reading.is_begun ? 1 : 0;
  reading.is_active = false;
  reading.is_begun = false;
  chunk.is_read = true;
  ++chunks_read_;
  if (is_transactional_ || chunk.outstanding == 0) {
    arrive(chunk);
  }
}

void Snapshot::delivered(UnitId unit, std::uint64_t count) {
  const std::size_t index = unit - kSnapshotUnits;
  CHECK(index < chunks_.size());
  Chunk& chunk = chunks_[index];
  CHECK(chunk.outstanding >= count);
  chunk.outstanding -= count;
  outstanding_ -= count;
  if (!is_transactional_ && chunk.is_read && chunk.outstanding == 0) {
    arrive(chunk);
  }
}

void Snapshot::arrive(const Chunk& chunk) {
  ++revision_;
  ++chunks_arrived_;
  Table& table = tables_[chunk.table];
  TableSnapshot& state = state_.tables[chunk.table];
  table.moved_left -= chunk.only_moved ? 1 : 0;
  if (!chunk.only_moved) {
    const std::uint32_t blocks = open_.tables[chunk.table].blocks;
    table.progress->blocks_done.set(table.progress->blocks_done.value() + blocks_in(chunk.range, blocks));
    TableSnapshot with_it = state;
    with_it.add(chunk.range);
    if (with_it.is_done && table.moved_left > 0) {
      table.held_back = chunk.range;
      ++held_back_;
    } else {
      state = std::move(with_it);
    }
  }
  if (table.held_back && table.moved_left == 0) {
    state.add(*std::exchange(table.held_back, std::nullopt));
    --held_back_;
  }
  if (--table.chunks_left == 0) {
    end_table(chunk.table);
  }
  if (chunks_arrived_ == chunks_.size()) {
    complete(Clock::now());
  }
}

void Snapshot::end_table(std::size_t table) {
  CHECK(state_.tables[table].is_done);
  set_state(tables_[table].progress->state, SnapshotTableState::kDone);
  progress_.tables_done.set(progress_.tables_done.value() + 1);
  log::info("snapshot of a table complete", {{"table", tables_[table].progress->name},
                                             {"rows", tables_[table].rows},
                                             {"tables_done", progress_.tables_done.value()},
                                             {"tables", tables_.size()}});
}

void Snapshot::complete(TimePoint now) {
  state_.is_pending = false;
  ++revision_;
  is_complete_ = true;
  report_.end();
  progress_.state.set(std::to_underlying(SnapshotRunState::kDone));
  progress_.ended_us.set(wall_now().time_since_epoch().count());
  log::info("snapshot complete", {{"rows", rows_.rows()},
                                  {"records", records()},
                                  {"seconds", duration_cast<seconds>(now - started_at_).count()},
                                  {"rows_per_second", per_second(rows_.rows(), now - started_at_)}});
}

}  // namespace outboxx
