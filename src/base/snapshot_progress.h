// SnapshotProgress: how far a snapshot came, for people: log lines, metrics, the HTTP endpoint. Relaxed atomics, one writer.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "base/counter.h"

namespace outboxx {

// Values of Gauge state.
enum class SnapshotTableState : std::uint8_t { kWaiting, kReading, kDone };
enum class SnapshotRunState : std::uint8_t { kNone, kWaiting, kReading, kDone };

// One table that holds rows: a plain one, or a leaf of a partitioned one.
struct SnapshotTableProgress {
  explicit SnapshotTableProgress(std::string_view table) : name(table) {}

  const std::string name;    // schema.table
  Counter rows;              // accepted by the sink, in this process
  Counter bytes;             // key and value
  Gauge blocks_done;         // of the heap: recorded before this process, or read by it
  Gauge blocks_before;       // blocks_done when the present run began
  Gauge blocks_total;        // when the present run was planned
  Gauge bytes_total;         // of the table then, with its TOAST
  Gauge estimated_rows{-1};  // pg_class.reltuples; -1: not known
  Gauge state;               // SnapshotTableState
  Gauge run;                 // SnapshotProgress::run of the last run that it belongs to
  std::atomic<SnapshotTableProgress*> next{nullptr};
};

// The pipeline's thread writes, any thread reads. A table stays for the life of the process; a later run sets it anew.
class SnapshotProgress {
 public:
  Gauge state;       // SnapshotRunState
  Gauge run;         // counts the starts; going on in a new session is one too
  Gauge started_us;  // wall clock, microseconds since 1970; 0: none was started
  Gauge ended_us;    // 0: it goes on
  Gauge point_lsn;   // the stream is held there, as the 64-bit number of the LSN
  Gauge connections;
  Gauge tables;  // of the present run
  Gauge tables_done;

  // For the writer: finds it or appends it.
  SnapshotTableProgress& table(std::string_view name) {
    const auto known = std::ranges::find_if(tables_, [name](const auto& entry) { return entry.name == name; });
    if (known != tables_.end()) {
      return *known;
    }
    SnapshotTableProgress* const last = tables_.empty() ? nullptr : &tables_.back();
    SnapshotTableProgress& added = tables_.emplace_back(name);
    (last == nullptr ? first_ : last->next).store(&added, std::memory_order_release);
    return added;
  }

  // For everybody: first(), then next of each until nullptr.
  [[nodiscard]] const SnapshotTableProgress* first() const { return first_.load(std::memory_order_acquire); }

 private:
  std::deque<SnapshotTableProgress> tables_;  // the writer's alone: elements never move
  std::atomic<SnapshotTableProgress*> first_{nullptr};
};

}  // namespace outboxx
