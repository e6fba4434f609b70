#include "start_snapshot.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include "config.h"
#include "model/snapshot_state.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/snapshot_point.h"
#include "start_slot.h"

namespace outboxx {

bool takes_snapshot(const PostgresOptions& options, std::span<const StreamConfig> streams) {
  return options.snapshot.mode == SnapshotMode::kInitial &&
         std::ranges::any_of(streams, [](const StreamConfig& stream) { return stream.operations.read; });
}

Result<std::optional<OpenSnapshot>> open_pending_snapshot(const Config& config, SnapshotState& state,
                                                          const StartedSlot& started, Connection& sql, StopSignal stop) {
  const PostgresOptions& options = config.postgres;
  if (!state.is_pending) {
    return std::nullopt;
  }
  if (!takes_snapshot(options, config.streams)) {
    log::warn("giving up the snapshot that was begun: the configuration does not want it any more",
              {{"tables_known", state.tables.size()}});
    state = {};
    return std::nullopt;
  }
  if (started.point) {
    return TRY(open_snapshot(options, config.streams, *started.point, stop));
  }
  if (started.slot.is_active) {
    return std::unexpected(Error{.code = ErrorCode::kPostgresUnreachable,
                                 .message = "replication slot \"" + options.slot_name + "\" is in use",
                                 .hint = {},
                                 .sqlstate = "55006"});
  }
  // The temporary slot goes with this connection, when the readers have what they need.
  Connection replication = TRY(Connection::open(options, ConnectionMode::kReplication, stop));
  const SnapshotPoint made = TRY(make_snapshot_point(replication, sql, options.slot_name, stop));
  return TRY(open_snapshot(options, config.streams, made, stop));
}

}  // namespace outboxx
