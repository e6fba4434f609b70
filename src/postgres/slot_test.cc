#include "postgres/slot.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"
#include "base/lsn.h"

namespace outboxx {
namespace {

SlotState healthy_slot() {
  SlotState slot;
  slot.plugin = "pgoutput";
  slot.slot_type = "logical";
  slot.database = "shop";
  slot.current_database = "shop";
  slot.confirmed_flush_lsn = Lsn{0x100};
  slot.restart_lsn = Lsn{0x80};
  slot.wal_status = "reserved";
  slot.current_wal_lsn = Lsn{0x100};
  return slot;
}

void expect_refused(const SlotState& slot, const std::string& message, ErrorCode code = ErrorCode::kSlot) {
  const Result<> result = check_slot(slot, "orders");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, code);
  EXPECT_EQ(result.error().message, "replication slot \"orders\" " + message);
  EXPECT_TRUE(result.error().hint.contains("SELECT pg_drop_replication_slot('orders');")) << result.error().hint;
}

TEST(CheckSlot, AcceptsSlotThatConfirmedExactlyTheEndOfTheWal) {
  EXPECT_TRUE(check_slot(healthy_slot(), "orders"));
}

TEST(CheckSlot, AcceptsSlotThatIsInUse) {
  SlotState slot = healthy_slot();
  slot.is_active = true;
  EXPECT_TRUE(check_slot(slot, "orders"));
}

// Whatever is written below the confirmed position is never sent: a restored server would lose its changes silently.
TEST(CheckSlot, RefusesSlotAheadOfTheServer) {
  SlotState slot = healthy_slot();
  slot.confirmed_flush_lsn = Lsn{0x101};
  expect_refused(slot, "has confirmed 0/101, but the server's WAL ends at 0/100: it would skip everything up to there",
                 ErrorCode::kServerChanged);
}

TEST(CheckSlot, RefusesLostSlotWithReason) {
  SlotState slot = healthy_slot();
  slot.wal_status = "lost";
  slot.invalidation_reason = "wal_removed";
  expect_refused(
      slot,
      "is lost (wal_removed): the server removed WAL that it needs; changes after 0/100 were not streamed and cannot "
      "be",
      ErrorCode::kSlotLost);
}

// Servers before 17 do not tell the reason.
TEST(CheckSlot, RefusesLostSlotWithoutReason) {
  SlotState slot = healthy_slot();
  slot.wal_status = "lost";
  expect_refused(slot, "is lost: the server removed WAL that it needs; changes after 0/100 were not streamed and cannot be",
                 ErrorCode::kSlotLost);
}

TEST(CheckSlot, RefusesInvalidatedSlotWhoseWalIsStillThere) {
  SlotState slot = healthy_slot();
  slot.invalidation_reason = "idle_timeout";
  EXPECT_FALSE(check_slot(slot, "orders"));
}

TEST(CheckSlot, RefusesSlotOfAnotherKind) {
  SlotState slot = healthy_slot();
  slot.plugin = "wal2json";
  expect_refused(slot, "uses the output plugin \"wal2json\", not pgoutput");
  slot.slot_type = "physical";
  expect_refused(slot, "is a physical slot, not a logical one");
  slot = healthy_slot();
  slot.database = "other";
  expect_refused(slot, "belongs to database \"other\", not \"shop\"");
  slot = healthy_slot();
  slot.is_temporary = true;
  expect_refused(slot, "is temporary: it vanishes with its session");
  slot = healthy_slot();
  slot.is_two_phase = true;
  expect_refused(slot, "has two_phase set: it sends prepared transactions before they commit");
}

TEST(SlotState, IsBeingCreatedUntilItHasAConfirmedPosition) {
  SlotState slot = healthy_slot();
  slot.is_active = true;
  EXPECT_FALSE(slot.is_being_created());
  slot.confirmed_flush_lsn = Lsn{};
  EXPECT_TRUE(slot.is_being_created());
  slot.slot_type = "physical";
  EXPECT_FALSE(slot.is_being_created());
}

TEST(SlotQuery, AsksForTheInvalidationReasonOnlyWhereItExists) {
  EXPECT_FALSE(slot_query(169999).contains("invalidation_reason"));
  EXPECT_TRUE(slot_query(170000).contains("invalidation_reason"));
}

TEST(DescribeHolder, LeavesOutWhatWeMayNotSee) {
  EXPECT_EQ(describe(SlotHolder{.pid = 4711, .application_name = "", .client_address = "", .connected_since = ""}), "PID 4711");
  EXPECT_EQ(describe(SlotHolder{.pid = 4711,
                                .application_name = "outboxx",
                                .client_address = "10.0.0.7",
                                .connected_since = "2026-08-01 10:00:00+00"}),
            "PID 4711 (application_name \"outboxx\", client 10.0.0.7, connected since 2026-08-01 10:00:00+00)");
}

}  // namespace
}  // namespace outboxx
