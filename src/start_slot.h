// The start of a session on the server: facts, decision (start_decision.h), and what the decision asks for.
#pragma once

#include <optional>

#include "base/error.h"
#include "base/wait.h"
#include "model/state_record.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/slot.h"
#include "postgres/snapshot_point.h"
#include "start_decision.h"
#include "state_store.h"

namespace outboxx {

struct StartedSlot {
  SlotState slot;
  std::optional<StateRecord> state;  // nothing: no state is kept
  // Of a slot that was created now, if it was asked for: valid until the next command of the replication connection.
  std::optional<SnapshotPoint> point;
};

// The two connections to the server.
struct ServerSessions {
  Connection& replication;
  Connection& sql;
};

struct StartPolicy {
  StartOverrides overrides;
  MissingSlot if_missing = MissingSlot::kCreate;  // kRefuse: this process has streamed from it
  bool takes_snapshot = false;                    // of the tables, if this is the first start
};

// Uses or creates the slot, as decide_start() says, and writes the records that must be there before. Call it again after each
// wait for the slot: its last holder may have moved it. The publication exists.
[[nodiscard]] Result<StartedSlot> start_slot(const ServerSessions& server, const PostgresOptions& options, StateStore& store,
                                             const StartPolicy& policy, StopSignal stop);

}  // namespace outboxx
