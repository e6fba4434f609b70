// The start of a session's snapshot on the server: is one to be read, at which point, and over which connections.
#pragma once

#include <optional>
#include <span>

#include "base/error.h"
#include "base/wait.h"
#include "config.h"
#include "model/snapshot_state.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/snapshot_point.h"
#include "start_slot.h"

namespace outboxx {

// A stream lists "read", and the configuration wants a new slot's snapshot.
[[nodiscard]] bool takes_snapshot(const PostgresOptions& options, std::span<const StreamConfig> streams);

// Nothing if state has no pending snapshot, or the configuration no longer wants it: then state is cleared, with a warning.
// started: of a slot that was made now there is a point; else a temporary slot makes one, which may wait for open transactions.
// kPostgresUnreachable with SQLSTATE 55006 if somebody streams from the slot: then it is not our turn. Before START_REPLICATION
// on the connection that made the point.
[[nodiscard]] Result<std::optional<OpenSnapshot>> open_pending_snapshot(const Config& config, SnapshotState& state,
                                                                        const StartedSlot& started, Connection& sql,
                                                                        StopSignal stop);

}  // namespace outboxx
