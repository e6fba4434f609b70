#include "start_slot.h"

#include <optional>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/lsn.h"
#include "model/state_record.h"
#include "postgres/server_identity.h"
#include "postgres/slot.h"
#include "start_decision.h"
#include "state_store.h"

namespace outboxx {
namespace {

// The slot is read before the record: its position follows the record's, and so never looks to be ahead of it.
Result<StartFacts> gather_facts(const ServerSessions& sessions, const PostgresOptions& options, StateStore& store,
                                StopSignal stop) {
  auto& [replication, sql] = sessions;
  StartFacts facts{.slot_name = options.slot_name,
                   .publication_name = options.publication_name,
                   .server = TRY(read_identity(replication, stop)),
                   .publication_oid = TRY(read_publication_oid(sql, options.publication_name, stop)),
                   .slot = TRY(read_slot(sql, options.slot_name, stop)),
                   .state_is_kept = true,
                   .record = std::nullopt,
                   .takes_snapshot = false,
                   .switch_point = std::nullopt};
  if (facts.slot && facts.slot->is_being_created()) {
    facts.slot.reset();  // by another instance, perhaps: ensure_slot() waits for it
  }
  const StateHistory history = TRY(store.read(stop));
  facts.state_is_kept = store.is_kept();
  facts.record = history.newest();
  if (facts.record && facts.server.timeline > facts.record->timeline) {
    facts.switch_point = TRY(read_switch_point(replication, facts.server.timeline, facts.record->timeline, stop));
  }
  if (facts.slot) {
    TRY(store.forget(history, facts.slot->confirmed_flush_lsn, stop));
  }
  return facts;
}

Result<> write_gap(StateStore& store, const StartFacts& facts, Lsn to, const StartOverrides& overrides, StopSignal stop) {
  const Lsn from = facts.record->progress.position;
  log::warn("the stream has a gap", {{"from", from}, {"to", to}, {"reason", *overrides.accepts_gap}});
  return store.write(
      GapMarker{
          .database = facts.server.database, .slot = facts.slot_name, .from = from, .to = to, .reason = *overrides.accepts_gap},
      stop);
}

}  // namespace

Result<StartedSlot> start_slot(const ServerSessions& server, const PostgresOptions& options, StateStore& store,
                               const StartPolicy& policy, StopSignal stop) {
  StartFacts facts = TRY(gather_facts(server, options, store, stop));
  facts.takes_snapshot = policy.takes_snapshot;
  const StartDecision decision = TRY(decide_start(facts, policy.overrides));
  if (!decision.warning.empty()) {
    log::warn(decision.warning);
  }
  if (decision.action == StartAction::kFirstStart) {
    TRY(store.write(intent_record(facts), stop));
  }
  const NewSlot wanted{.name = options.slot_name,
                       .exports_snapshot = policy.takes_snapshot && decision.action == StartAction::kFirstStart};
  EnsuredSlot slot = TRY(ensure_slot(server.replication, server.sql, wanted, policy.if_missing, stop));
  StateRecord record = TRY(first_record(facts, decision.action, slot.state.confirmed_flush_lsn));
  if (decision.action == StartAction::kAcceptGap) {
    TRY(write_gap(store, facts, record.progress.position, policy.overrides, stop));
  }
  if (decision.action != StartAction::kRun) {
    TRY(store.write(record, stop));
  }
  StartedSlot started{.slot = std::move(slot.state),
                      .state = store.is_kept() ? std::optional(std::move(record)) : std::nullopt,
                      .point = std::nullopt};
  if (!slot.exported_snapshot.empty()) {
    started.point = {.lsn = started.slot.confirmed_flush_lsn, .snapshot = std::move(slot.exported_snapshot)};
  }
  return started;
}

}  // namespace outboxx
