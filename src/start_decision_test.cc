#include "start_decision.h"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "model/state_record.h"
#include "postgres/server_state.h"

namespace outboxx {
namespace {

// A slot at 0x100, a record at 0x100, WAL up to 0x200, timeline 2.
SlotState slot() {
  SlotState slot;
  slot.plugin = "pgoutput";
  slot.slot_type = "logical";
  slot.database = "shop";
  slot.current_database = "shop";
  slot.confirmed_flush_lsn = Lsn{0x100};
  slot.restart_lsn = Lsn{0x80};
  slot.wal_status = "reserved";
  slot.current_wal_lsn = Lsn{0x200};
  return slot;
}

StateRecord record() {
  return {.kind = StateKind::kProgress,
          .epoch = 1,
          .system_identifier = "74",
          .timeline = 2,
          .server_version = 150020,
          .database = "shop",
          .slot = "orders",
          .publication_oid = 16401,
          .progress = {.position = Lsn{0x100}, .open_commit = Lsn{}, .ordinal = 0}};
}

StartFacts facts() {
  return {.slot_name = "orders",
          .publication_name = "shop_publication",
          .server = {.system_identifier = "74",
                     .timeline = 2,
                     .server_version = 150020,
                     .database = "shop",
                     .wal_position = Lsn{0x200}},
          .publication_oid = 16401,
          .slot = slot(),
          .state_is_kept = true,
          .record = record(),
          .switch_point = std::nullopt};
}

struct Row {
  const char* name;
  std::function<void(StartFacts&)> change;
  StartAction action = StartAction::kRun;
};

struct Refusal {
  const char* name;
  std::function<void(StartFacts&)> change;
  ErrorCode code;
  bool may_be_accepted = true;
};

const std::vector<Row> kRows = {
    {"absent, absent: first start", [](StartFacts& f) { f.slot.reset(), f.record.reset(); }, StartAction::kFirstStart},
    {"absent, intent: the crash came before the slot",
     [](StartFacts& f) { f.slot.reset(), f.record->kind = StateKind::kIntent; }, StartAction::kFirstStart},
    {"present, intent: the crash came after the slot",
     [](StartFacts& f) { f.record->kind = StateKind::kIntent, f.record->progress = {}; }, StartAction::kAdopt},
    {"c = P", [](StartFacts&) {}},
    {"c < P: the server crashed before it saved the slot", [](StartFacts& f) { f.slot->confirmed_flush_lsn = Lsn{0x90}; }},
    {"P = W", [](StartFacts& f) { f.record->progress.position = Lsn{0x200}; }},
    {"a child timeline that was left behind P", [](StartFacts& f) { f.server.timeline = 3, f.switch_point = Lsn{0x100}; }},
    {"a new minor version in a split transaction",
     [](StartFacts& f) { f.record->progress.ordinal = 7, f.server.server_version = 150021; }},
    {"a new major version between transactions", [](StartFacts& f) { f.server.server_version = 160001; }},
    {"without state, absent", [](StartFacts& f) { f.state_is_kept = false, f.slot.reset(), f.record.reset(); },
     StartAction::kFirstStart},
    {"without state, present", [](StartFacts& f) { f.state_is_kept = false, f.record.reset(); }},
};

const std::vector<Refusal> kRefusals = {
    {"absent, present", [](StartFacts& f) { f.slot.reset(); }, ErrorCode::kSlot},
    {"c > P", [](StartFacts& f) { f.slot->confirmed_flush_lsn = Lsn{0x101}; }, ErrorCode::kSlotMoved},
    {"P > W", [](StartFacts& f) { f.record->progress.position = Lsn{0x201}; }, ErrorCode::kServerChanged},
    {"c > W", [](StartFacts& f) { f.slot->confirmed_flush_lsn = Lsn{0x201}; }, ErrorCode::kServerChanged, false},
    {"another system", [](StartFacts& f) { f.server.system_identifier = "75"; }, ErrorCode::kServerChanged},
    {"another system, no slot there yet",
     [](StartFacts& f) { f.server.system_identifier = "75", f.slot.reset(), f.record->kind = StateKind::kIntent; },
     ErrorCode::kServerChanged},
    {"another database", [](StartFacts& f) { f.server.database = "test"; }, ErrorCode::kServerChanged},
    {"a lower timeline", [](StartFacts& f) { f.server.timeline = 1; }, ErrorCode::kServerChanged},
    {"a timeline that was left before P", [](StartFacts& f) { f.server.timeline = 3, f.switch_point = Lsn{0xFF}; },
     ErrorCode::kServerChanged},
    {"a timeline of another history", [](StartFacts& f) { f.server.timeline = 3; }, ErrorCode::kServerChanged},
    {"another major version in a split transaction",
     [](StartFacts& f) { f.record->progress.ordinal = 7, f.server.server_version = 160001; }, ErrorCode::kServerChanged},
    {"publication created again", [](StartFacts& f) { f.publication_oid = 16500; }, ErrorCode::kPublicationChanged},
    {"slot lost", [](StartFacts& f) { f.slot->wal_status = "lost"; }, ErrorCode::kSlotLost, false},
    {"slot invalidated, with a record or without",
     [](StartFacts& f) { f.slot->invalidation_reason = "idle_timeout", f.record.reset(); }, ErrorCode::kSlotLost, false},
    {"another plugin", [](StartFacts& f) { f.slot->plugin = "wal2json"; }, ErrorCode::kSlot, false},
};

TEST(StartDecision, GoesOn) {
  for (const Row& row : kRows) {
    StartFacts given = facts();
    row.change(given);
    const auto decision = decide_start(given, {});
    ASSERT_TRUE(decision) << row.name << ": " << decision.error().message;
    EXPECT_EQ(decision->action, row.action) << row.name;
    EXPECT_EQ(decision->warning, "") << row.name;
  }
}

TEST(StartDecision, RefusesWithAHint) {
  for (const Refusal& refusal : kRefusals) {
    StartFacts given = facts();
    refusal.change(given);
    const auto decision = decide_start(given, {.adopts_slot = true, .accepts_gap = std::nullopt});
    ASSERT_FALSE(decision) << refusal.name;
    EXPECT_EQ(decision.error().code, refusal.code) << refusal.name;
    EXPECT_NE(decision.error().hint, "") << refusal.name;
  }
}

TEST(StartDecision, GoesOnWithAGapWhereAnOperatorAcceptsIt) {
  for (const Refusal& refusal : kRefusals) {
    StartFacts given = facts();
    refusal.change(given);
    const auto decision = decide_start(given, {.adopts_slot = false, .accepts_gap = "restored"});
    ASSERT_EQ(decision.has_value(), refusal.may_be_accepted) << refusal.name;
    if (decision) {
      EXPECT_EQ(decision->action, StartAction::kAcceptGap) << refusal.name;
      EXPECT_TRUE(decision->warning.starts_with("going on with a gap, as told: ")) << decision->warning;
    }
  }
}

// The override is for a refusal. A command line that keeps it must not open a gap at each start.
TEST(StartDecision, AcceptsNoGapWhereThereIsNone) {
  const auto decision = decide_start(facts(), {.adopts_slot = true, .accepts_gap = "again"});
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->action, StartAction::kRun);
}

TEST(StartDecision, AdoptsASlotWithoutRecordOnlyIfTold) {
  StartFacts given = facts();
  given.record.reset();
  const auto refused = decide_start(given, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kSlotUnknown);
  EXPECT_TRUE(refused.error().hint.contains("--adopt-slot"));
  const auto adopted = decide_start(given, {.adopts_slot = true, .accepts_gap = std::nullopt});
  ASSERT_TRUE(adopted);
  EXPECT_EQ(adopted->action, StartAction::kAdopt);
  EXPECT_NE(adopted->warning, "");
}

TEST(FirstRecord, GoesOnWhereTheRecordSays) {
  const auto first = first_record(facts(), StartAction::kRun, Lsn{0xF0});
  ASSERT_TRUE(first);
  EXPECT_EQ(*first, record());
}

TEST(FirstRecord, NamesTheServerAsItIsNow) {
  StartFacts given = facts();
  given.server.timeline = 3;
  const auto first = first_record(given, StartAction::kRun, Lsn{0x100});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->timeline, 3);
}

TEST(FirstRecord, BeginsWhereANewSlotDoes) {
  StartFacts given = facts();
  given.record = intent_record(given);
  const auto first = first_record(given, StartAction::kAdopt, Lsn{0x180});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->kind, StateKind::kProgress);
  EXPECT_EQ(first->progress.position, Lsn{0x180});
  EXPECT_EQ(first->epoch, 1);
}

TEST(FirstRecord, SlotThatMovedMeanwhileIsLookedAtAgain) {
  const auto first = first_record(facts(), StartAction::kRun, Lsn{0x101});
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code, ErrorCode::kPostgresUnreachable);
  EXPECT_EQ(first.error().sqlstate, "55006");
}

TEST(FirstRecord, AcceptedGapBeginsANewEpochAndRepeatsNothingOfThisServer) {
  StartFacts given = facts();
  given.publication_oid = 2;
  auto first = first_record(given, StartAction::kAcceptGap, Lsn{0xF0});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->progress.position, Lsn{0x100});
  EXPECT_EQ(first->publication_oid, 2);
  EXPECT_EQ(first->epoch, 2);

  given.server.system_identifier = "75";  // whose positions say nothing about the record's
  first = first_record(given, StartAction::kAcceptGap, Lsn{0xF0});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->progress.position, Lsn{0xF0});
}

// Of another server the numbers of blocks and tables would hide rows, and of this one what changed in the gap.
TEST(FirstRecord, AcceptedGapBeginsSnapshotsAnew) {
  StartFacts given = facts();
  given.publication_oid = 2;
  given.record->snapshot = {.is_pending = true, .xmin = 700, .tables = {{.oid = 1, .next_block = 5, .done = {}}}};
  const auto job = given.record->jobs.add(
      {.tables = {"public.a", "public.b"}, .where = {}, .tables_done = 1, .place = {.leaf_done = 7, .key = {}}});
  auto first = first_record(given, StartAction::kAcceptGap, Lsn{0xF0});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->snapshot, SnapshotState{.is_pending = true});
  EXPECT_EQ(first->jobs.find(job)->tables_done, 0);
  EXPECT_EQ(first->jobs.find(job)->place, JobPlace{});

  given.record->snapshot = {.tables = {{.oid = 1, .done = {}, .is_done = true}}};  // complete: it stays so
  first = first_record(given, StartAction::kAcceptGap, Lsn{0xF0});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->snapshot, given.record->snapshot);
}

}  // namespace
}  // namespace outboxx
