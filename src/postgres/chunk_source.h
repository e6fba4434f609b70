// ChunkSource: reads a table chunk by chunk while its stream goes on, each chunk in a snapshot of its own.
//
//   prepare -> open -> [ reader: rows ] -> prepare ...
//
// Each snapshot is made by a temporary slot, which tells its exact place in the stream (postgres/snapshot_point.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/wait.h"
#include "model/snapshot_job.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/key_chunk.h"
#include "postgres/options.h"
#include "postgres/snapshot_plan.h"
#include "postgres/snapshot_reader.h"

namespace outboxx {

struct ChunkRequest {
  StreamConfig stream;  // one that lists "read" for the table
  std::string where;
  JobPlace place;
  std::uint64_t rows = 0;  // that the chunk is to have, about
  bool needs_key = false;  // a table without one cannot be read if it is large
};

// Found out while the stream goes on: what the chunk is to read.
struct PreparedChunk {
  ChunkRequest request;
  std::uint32_t leaf = 0;      // 0: nothing is left of the table
  std::vector<KeyColumn> key;  // empty: the leaf has none, and is read as a whole
  KeyRange range;
  std::uint64_t rows = 0;   // that it has, about
  JobPlace next;            // when it has arrived
  std::string waits_for;    // transactions that keep a snapshot from being made, and are known to be long
  bool is_standby = false;  // a snapshot waits for a record of the primary: every 15 s, or pg_log_standby_snapshot()
};

// Ready to be read, with the stream held at the point.
struct OpenChunk {
  Lsn point;
  SnapshotTable table;
  std::string copy;
};

// Used by one thread at a time. Its functions wait; none does so when stop is set, but connections are gone then.
class ChunkSource {
 public:
  static constexpr std::chrono::milliseconds kLockTimeout{100};
  static constexpr std::uint64_t kKeylessBytesMax = std::uint64_t{64} * 1024 * 1024;

  // options outlives it.
  explicit ChunkSource(const PostgresOptions& options) : options_(options) {}

  // Connects if need be and ends the chunk before. kPostgresUnreachable: it may be tried again; every other error is the
  // table's or the condition's, and stays.
  [[nodiscard]] Result<PreparedChunk> prepare(const ChunkRequest& request, StopSignal stop);
  // Makes the snapshot. kInterrupted if it was stopped.
  [[nodiscard]] Result<OpenChunk> open(const PreparedChunk& chunk, StopSignal stop);

  // After open().
  [[nodiscard]] SnapshotReader& reader() { return *reader_; }

  // The server drops the slot, ends the transactions and frees the locks.
  void close();

 private:
  [[nodiscard]] Result<> connect(StopSignal stop);
  [[nodiscard]] Result<> end_chunk(StopSignal stop);
  [[nodiscard]] Result<PreparedChunk> plan(const ChunkRequest& request, StopSignal stop);
  [[nodiscard]] Result<PreparedChunk> plan_in_transaction(const ChunkRequest& request, StopSignal stop);
  [[nodiscard]] Result<OpenChunk> open_at_point(const PreparedChunk& chunk, StopSignal stop);

  const PostgresOptions& options_;
  std::optional<Connection> sql_;
  std::optional<Connection> replication_;
  std::optional<SnapshotReader> reader_;
  bool is_standby_ = false;
  bool has_slot_ = false;
  bool has_snapshot_ = false;  // the reader's transaction is open
};

}  // namespace outboxx
