// What to do at the start of a session, decided from what the server and the state record say. Pure.
//
// The slot's confirmed position c never passes P, the recorded one, because a record is written before its position is
// confirmed. So c > P proves that somebody else moved the slot, or that it is another slot of the same name; and what
// PostgreSQL has, or lacks, beside that shows a restored or swapped server. On any such sign Outboxx refuses, each with an exit
// code of its own: a change may be missing, and only an operator can say that this is acceptable (docs/delivery.md has the
// table).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/lsn.h"
#include "model/state_record.h"
#include "postgres/server_state.h"

namespace outboxx {

struct StartFacts {
  std::string slot_name;
  std::string publication_name;
  ServerIdentity server;
  std::uint32_t publication_oid = 0;
  std::optional<SlotState> slot;
  bool state_is_kept = true;  // false: there is no record, and none will be written
  std::optional<StateRecord> record;
  bool takes_snapshot = false;      // if this is the first start
  std::optional<Lsn> switch_point;  // where the server's history left the record's timeline, if it did
};

// What the operator said to this start.
struct StartOverrides {
  bool adopts_slot = false;                // a slot without a record is ours: --adopt-slot, or a v0 file
  std::optional<std::string> accepts_gap;  // the reason
};

enum class StartAction : std::uint8_t {
  kFirstStart,  // there is nothing yet: write an intent, create the slot
  kRun,         // go on where the record says
  kAdopt,       // go on where the slot says, and write the first record
  kAcceptGap,   // an operator accepts that changes are missing: write a gap marker, then as kAdopt with a new epoch
};

struct StartDecision {
  StartAction action = StartAction::kRun;
  std::string warning;  // for the log; empty: nothing unusual
};

// Refusals: kSlot, kSlotLost, kSlotMoved, kSlotUnknown, kServerChanged, kPublicationChanged.
[[nodiscard]] Result<StartDecision> decide_start(const StartFacts& facts, const StartOverrides& overrides);

// The record that stands before a slot is created: a crash in between is no lost slot.
[[nodiscard]] StateRecord intent_record(const StartFacts& facts);

// The record that the stream begins with. slot_position: what the slot has confirmed, now that it is there.
// kPostgresUnreachable (SQLSTATE 55006) if that moved since the record was read: then gather the facts again.
[[nodiscard]] Result<StateRecord> first_record(const StartFacts& facts, StartAction action, Lsn slot_position);

}  // namespace outboxx
