// SnapshotPoint: a snapshot of the database and its exact place in the WAL, and the connections that read in it.
//
// Creating a logical slot makes the pair: its snapshot shows the transactions whose commit record starts before the consistent
// point, and no others (PostgreSQL: replication/logical/snapbuild.c, SnapBuildExportSnapshot). A slot that is there already
// has none, so a temporary one is made for it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/wait.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/snapshot_plan.h"
#include "postgres/snapshot_reader.h"

namespace outboxx {

struct SnapshotPoint {
  Lsn lsn;               // every transaction before it is seen, and none at or after it
  std::string snapshot;  // its name; can be imported until the next command of the connection that made it
};

// Makes a temporary slot over the replication connection. Waits for the transactions that are open now, as create_slot().
[[nodiscard]] Result<SnapshotPoint> make_snapshot_point(Connection& replication, Connection& sql, const std::string& slot_name,
                                                        StopSignal stop);

// "SLOT_snapshot", cut to what the server takes.
[[nodiscard]] std::string temporary_slot_name(const std::string& slot_name);

// Ready to be read: every reader sees the snapshot, and the tables are locked against TRUNCATE and whatever rewrites them.
struct OpenSnapshot {
  Lsn point;
  std::uint32_t xmin = 0;  // the oldest transaction that was open
  std::vector<SnapshotReader> readers;
  std::vector<SnapshotTable> tables;
};

// In sql's transaction, which sees a snapshot: locks the tables as lock_statement() says, and checks that they are as they
// were. kPostgresUnreachable if one was rewritten since, or somebody else holds a lock on it for longer than lock_timeout.
[[nodiscard]] Result<> lock_tables(Connection& sql, std::span<const SnapshotTable> tables, StopSignal stop);

// Waits, for connections and for locks. kPostgresUnreachable if a table was rewritten or truncated since the snapshot was made,
// which would show it empty: a new point shows what is there now.
[[nodiscard]] Result<OpenSnapshot> open_snapshot(const PostgresOptions& options, std::span<const StreamConfig> streams,
                                                 const SnapshotPoint& point, StopSignal stop);

}  // namespace outboxx
