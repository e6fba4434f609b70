#include "postgres/slot_monitor.h"

#include <gtest/gtest.h>

#include "base/lsn.h"
#include "base/metrics.h"
#include "postgres/slot.h"

namespace outboxx {
namespace {

SlotState slot_at(Lsn restart, Lsn confirmed, Lsn current) {
  SlotState slot;
  slot.wal_status = "reserved";
  slot.restart_lsn = restart;
  slot.confirmed_flush_lsn = confirmed;
  slot.current_wal_lsn = current;
  return slot;
}

TEST(SlotMetrics, MeasureFromTheEndOfTheWal) {
  Metrics metrics;
  SlotState slot = slot_at(Lsn{1000}, Lsn{1500}, Lsn{1700});
  slot.safe_wal_size = 5000;
  publish_slot_metrics(slot, metrics);
  EXPECT_EQ(metrics.restart_lsn.value(), 1000);
  EXPECT_EQ(metrics.confirmed_lsn.value(), 1500);
  EXPECT_EQ(metrics.slot_lag_bytes.value(), 200);
  EXPECT_EQ(metrics.slot_retained_bytes.value(), 700);
  EXPECT_EQ(metrics.slot_safe_bytes.value(), 5000);
}

TEST(SlotMetrics, NeverGoBelowZero) {
  Metrics metrics;
  publish_slot_metrics(slot_at(Lsn{1000}, Lsn{1800}, Lsn{1700}), metrics);
  EXPECT_EQ(metrics.slot_lag_bytes.value(), 0);
}

TEST(SlotMetrics, OfASlotThatIsBeingCreatedAreNotAllOfTheWal) {
  Metrics metrics;
  publish_slot_metrics(slot_at(Lsn{1000}, Lsn{}, Lsn{1700}), metrics);
  EXPECT_EQ(metrics.slot_lag_bytes.value(), 0);
  EXPECT_EQ(metrics.slot_retained_bytes.value(), 700);
}

// Of PostgreSQL's reasons, only removed WAL takes the restart_lsn away.
TEST(SlotMetrics, OfAnInvalidatedSlotWithARestartLsnKeepNothing) {
  Metrics metrics;
  SlotState slot = slot_at(Lsn{1000}, Lsn{1500}, Lsn{1700});
  slot.invalidation_reason = "rows_removed";
  publish_slot_metrics(slot, metrics);
  EXPECT_EQ(metrics.slot_retained_bytes.value(), 0);
  EXPECT_EQ(metrics.slot_safe_bytes.value(), 0);
  EXPECT_EQ(metrics.slot_lag_bytes.value(), 200);
}

TEST(SlotMetrics, TellNoLimitFromALostSlot) {
  Metrics metrics;
  SlotState slot = slot_at(Lsn{1000}, Lsn{1500}, Lsn{1700});
  publish_slot_metrics(slot, metrics);
  EXPECT_EQ(metrics.slot_safe_bytes.value(), -1);
  slot.wal_status = "lost";
  slot.restart_lsn = Lsn{};
  publish_slot_metrics(slot, metrics);
  EXPECT_EQ(metrics.slot_safe_bytes.value(), 0);
  EXPECT_EQ(metrics.slot_retained_bytes.value(), 0);
}

TEST(SlotStatusChange, IsReportedOnceForEachChange) {
  EXPECT_FALSE(describe_status_change("reserved", "reserved", "s"));
  EXPECT_FALSE(describe_status_change("lost", "lost", "s"));
  const auto extended = describe_status_change("reserved", "extended", "s");
  ASSERT_TRUE(extended);
  EXPECT_TRUE(extended->is_warning);
  EXPECT_EQ(extended->message, "replication slot \"s\" keeps more WAL than max_wal_size on the server's disk");
  const auto well = describe_status_change("unreserved", "reserved", "s");
  ASSERT_TRUE(well);
  EXPECT_FALSE(well->is_warning);
  for (const char* const status : {"unreserved", "lost", "missing", "something new"}) {
    const auto change = describe_status_change("extended", status, "s");
    ASSERT_TRUE(change);
    EXPECT_TRUE(change->is_warning) << status;
  }
}

}  // namespace
}  // namespace outboxx
