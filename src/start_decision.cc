#include "start_decision.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/lsn.h"
#include "model/snapshot_job.h"
#include "model/snapshot_state.h"
#include "model/state_record.h"
#include "postgres/server_state.h"

namespace outboxx {
namespace {

constexpr const char* kAcceptGap =
    "To go on without the changes that may be missing, run once with --accept-gap 'REASON': it writes a gap marker to the "
    "state "
    "topic; then fill the gap from the tables: outboxx snapshot.";

std::unexpected<Error> refuse(ErrorCode code, std::string message, std::string hint) {
  return fail(code, std::move(message), hint.empty() ? kAcceptGap : std::move(hint) + " " + kAcceptGap);
}

// The server of the record and this one: restored, swapped, or left behind by a failover?
Result<> check_same_server(const StartFacts& facts, const StateRecord& record) {
  const ServerIdentity& server = facts.server;
  if (record.system_identifier != server.system_identifier || record.database != storable(server.database)) {
    return refuse(
        ErrorCode::kServerChanged,
        fmt::format("the state record is of database \"{}\" on the server with system identifier {}, and this is "
                    "database \"{}\" on {}",
                    record.database, record.system_identifier, server.database, server.system_identifier),
        "Check the connection string. If two pipelines share a slot name, give this one an id of its own in [state].");
  }
  if (server.timeline < record.timeline) {
    return refuse(ErrorCode::kServerChanged,
                  fmt::format("the server is on timeline {}, but changes of timeline {} were streamed already: it was left "
                              "behind by a failover, or restored",
                              server.timeline, record.timeline),
                  "Connect to the present primary: name all hosts in the connection string, with "
                  "target_session_attrs=read-write.");
  }
  if (server.timeline > record.timeline && (!facts.switch_point || record.progress.position > *facts.switch_point)) {
    return refuse(
        ErrorCode::kServerChanged,
        fmt::format("the server went on from timeline {} at {}, but changes up to {} of it were streamed already: Kafka "
                    "holds transactions that this server never had",
                    record.timeline, facts.switch_point ? to_string(*facts.switch_point) : "an unknown position",
                    to_string(record.progress.position)),
        "To prevent it, set synchronized_standby_slots (PostgreSQL 17) or wait for the standby's slots before a failover.");
  }
  if (record.progress.position > server.wal_position) {
    return refuse(ErrorCode::kServerChanged,
                  fmt::format("changes up to {} were streamed already, but the server's WAL ends at {}: it was restored from a "
                              "backup, or swapped",
                              to_string(record.progress.position), to_string(server.wal_position)),
                  {});
  }
  return {};
}

// Slot and record exist, on this server.
Result<> check_continuation(const StartFacts& facts, const StateRecord& record) {
  const Lsn confirmed = facts.slot->confirmed_flush_lsn;
  if (record.kind == StateKind::kProgress && confirmed > record.progress.position) {
    return refuse(ErrorCode::kSlotMoved,
                  fmt::format("replication slot \"{}\" has confirmed {}, but only changes before {} were streamed: it was "
                              "created again, advanced by hand, or used by another client",
                              facts.slot_name, to_string(confirmed), to_string(record.progress.position)),
                  "Find out who else uses the slot before you start again.");
  }
  if (record.publication_oid != facts.publication_oid) {
    return refuse(ErrorCode::kPublicationChanged,
                  fmt::format("publication \"{}\" was dropped and created again since the last start, or publication_name was "
                              "changed: changes that were written before it was made are not in it",
                              facts.publication_name),
                  {});
  }
  if (record.progress.ordinal > 0 && record.server_version / 10'000 != facts.server.server_version / 10'000) {
    return refuse(ErrorCode::kServerChanged,
                  fmt::format("a transaction was streamed in part by PostgreSQL {} and cannot be resumed on {}",
                              record.server_version / 10'000, facts.server.server_version / 10'000),
                  {});
  }
  return {};
}

Result<> missing_slot(const StartFacts& facts, const StateRecord& record) {
  return refuse(ErrorCode::kSlot,
                fmt::format("replication slot \"{}\" does not exist, but changes before {} were streamed from it: what was "
                            "committed since is not kept for us",
                            facts.slot_name, to_string(record.progress.position)),
                "The slot was dropped, or a failover went to a standby without it (PostgreSQL 17 can keep it there: a slot "
                "with failover = true and sync_replication_slots).");
}

Result<> check_against_record(const StartFacts& facts) {
  TRY(check_same_server(facts, *facts.record));
  if (facts.slot) {
    return check_continuation(facts, *facts.record);
  }
  if (facts.record->kind == StateKind::kIntent) {
    return {};
  }
  return missing_slot(facts, *facts.record);
}

Result<StartDecision> decide_without_record(const StartFacts& facts, const StartOverrides& overrides) {
  if (!facts.slot) {
    return StartDecision{.action = StartAction::kFirstStart, .warning = {}};
  }
  if (!facts.state_is_kept) {
    return StartDecision{.action = StartAction::kRun, .warning = {}};
  }
  if (!overrides.adopts_slot && !overrides.accepts_gap) {
    return fail(
        ErrorCode::kSlotUnknown,
        fmt::format("replication slot \"{}\" exists, but there is no state record: nothing says that all changes before "
                    "{} were streamed",
                    facts.slot_name, to_string(facts.slot->confirmed_flush_lsn)),
        "If the slot is this pipeline's, run once with --adopt-slot: streaming goes on where the slot stands. If the "
        "record was lost with its topic, mend [state] first.");
  }
  return StartDecision{.action = StartAction::kAdopt,
                       .warning = fmt::format("adopting replication slot \"{}\" at {}: without a state record nobody can tell "
                                              "whether changes before that are missing",
                                              facts.slot_name, to_string(facts.slot->confirmed_flush_lsn))};
}

}  // namespace

Result<StartDecision> decide_start(const StartFacts& facts, const StartOverrides& overrides) {
  if (facts.slot) {
    TRY(check_slot(*facts.slot, facts.slot_name));
  }
  if (!facts.record) {
    return decide_without_record(facts, overrides);
  }
  if (auto checked = check_against_record(facts); !checked) {
    if (!overrides.accepts_gap) {
      return std::unexpected(std::move(checked).error());
    }
    return StartDecision{.action = StartAction::kAcceptGap,
                         .warning = "going on with a gap, as told: " + checked.error().message};
  }
  if (!facts.slot) {
    return StartDecision{.action = StartAction::kFirstStart, .warning = {}};
  }
  // After an intent the slot is as new: its own position is where the stream begins.
  const bool has_begun = facts.record->kind == StateKind::kProgress;
  return StartDecision{.action = has_begun ? StartAction::kRun : StartAction::kAdopt, .warning = {}};
}

StateRecord intent_record(const StartFacts& facts) {
  return {.kind = StateKind::kIntent,
          .epoch = facts.record ? facts.record->epoch : 1,
          .system_identifier = facts.server.system_identifier,
          .timeline = facts.server.timeline,
          .server_version = facts.server.server_version,
          .database = facts.server.database,
          .slot = facts.slot_name,
          .publication_oid = facts.publication_oid,
          .progress = {},
          .snapshot = {.is_pending = facts.takes_snapshot, .tables = {}}};
}

Result<StateRecord> first_record(const StartFacts& facts, StartAction action, Lsn slot_position) {
  StateRecord record = intent_record(facts);
  record.kind = StateKind::kProgress;
  record.progress.position = slot_position;
  if (action != StartAction::kFirstStart) {
    // A slot that is adopted, and one whose record knows of no snapshot, has none to come.
    record.snapshot = facts.record ? facts.record->snapshot : SnapshotState{};
  }
  if (facts.record) {
    record.jobs = facts.record->jobs;
  }
  if (action == StartAction::kFirstStart) {
    record.jobs.queue.clear();  // the new slot's own snapshot reads all tables
  }
  if (action == StartAction::kAcceptGap) {
    ++record.epoch;
    // What has arrived from this very server has arrived, however the slot stands.
    if (check_same_server(facts, *facts.record)) {
      record.progress.position = std::max(slot_position, facts.record->progress.position);
    }
    // What was read before the gap may have changed in it, and block numbers and OIDs may be another server's.
    if (record.snapshot.is_pending) {
      record.snapshot = {.is_pending = true, .tables = {}};
    }
    for (SnapshotJob& job : record.jobs.queue) {
      job.tables_done = 0;
      job.place = {};
    }
  }
  if (action == StartAction::kRun && facts.record) {
    record.progress = facts.record->progress;
    // The record was read before the slot was read for the second time: its last holder may have gone on in between.
    if (slot_position > record.progress.position) {
      return std::unexpected(
          Error{.code = ErrorCode::kPostgresUnreachable,
                .message = fmt::format("replication slot \"{}\" moved to {} since the state record was read, "
                                       "which says {}",
                                       facts.slot_name, to_string(slot_position), to_string(record.progress.position)),
                .hint = {},
                .sqlstate = "55006"});
    }
  }
  return record;
}

}  // namespace outboxx
