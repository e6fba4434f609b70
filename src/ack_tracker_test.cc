#include "ack_tracker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>
#include <utility>
#include <vector>

namespace outboxx {
namespace {

// A small language over the tracker, with positions as plain numbers.
class AckTrackerTest : public testing::Test {
 protected:
  UnitId begin(std::uint64_t final_lsn) { return tracker.begin(Lsn{final_lsn}, WallTime{}, TimePoint{}); }
  void records(int count) {
    for (; count > 0; --count) {
      tracker.add_record();
    }
  }
  void commit(std::uint64_t end_lsn) { tracker.commit(Lsn{end_lsn}); }
  UnitId transaction(std::uint64_t final_lsn, std::uint64_t end_lsn, int count) {
    const UnitId unit = begin(final_lsn);
    records(count);
    commit(end_lsn);
    return unit;
  }
  void keepalive(std::uint64_t wal_end) { tracker.keepalive(Lsn{wal_end}); }
  void deliver(UnitId unit, std::uint64_t count) { tracker.delivered(unit, count); }
  std::uint64_t flushed() {
    while (tracker.next_completed()) {
    }
    return tracker.flushed().value;
  }

  AckTracker tracker{Lsn{100}};
};

TEST_F(AckTrackerTest, StartsAtThePositionOfTheSlot) {
  EXPECT_EQ(flushed(), 100);
}

TEST_F(AckTrackerTest, ConfirmsTheEndOfTheCommitRecordOnceEveryRecordIsDelivered) {
  const UnitId unit = transaction(200, 210, 2);
  EXPECT_EQ(flushed(), 100);
  deliver(unit, 1);
  EXPECT_EQ(flushed(), 100);
  deliver(unit, 1);
  EXPECT_EQ(flushed(), 210);  // not 200 (F8: resends it for ever), not 211 (F8b: skips a neighbour)
}

TEST_F(AckTrackerTest, DoesNotConfirmAnOpenTransactionWhoseRecordsAreAllDelivered) {
  const UnitId unit = begin(200);
  records(1);
  deliver(unit, 1);
  EXPECT_EQ(flushed(), 100);
  EXPECT_TRUE(tracker.all_delivered());
  commit(210);
  EXPECT_EQ(flushed(), 210);
}

TEST_F(AckTrackerTest, HoldsBackLsnUntilEarlierTransactionIsDelivered) {
  const UnitId first = transaction(200, 210, 1);
  const UnitId second = transaction(220, 230, 1);
  deliver(second, 1);
  EXPECT_EQ(flushed(), 100);
  deliver(first, 1);
  EXPECT_EQ(flushed(), 230);
}

TEST_F(AckTrackerTest, KeepaliveDoesNotPassUndeliveredRecords) {  // F1
  const UnitId unit = transaction(200, 210, 1);
  keepalive(300);
  EXPECT_EQ(flushed(), 100);
  deliver(unit, 1);
  EXPECT_EQ(flushed(), 300);
}

TEST_F(AckTrackerTest, KeepaliveIsConfirmedAtOnceWhenNothingIsPending) {  // F4
  keepalive(300);
  EXPECT_EQ(flushed(), 300);
}

TEST_F(AckTrackerTest, KeepaliveInsideATransactionBelongsBeforeIt) {
  const UnitId first = transaction(200, 210, 1);
  const UnitId second = begin(400);
  records(1);
  keepalive(300);
  deliver(first, 1);
  EXPECT_EQ(flushed(), 300);
  deliver(second, 1);
  commit(410);
  EXPECT_EQ(flushed(), 410);
}

TEST_F(AckTrackerTest, KeepaliveInsideAnOpenTransactionThatIsTheOnlyUnitIsConfirmed) {
  begin(400);
  records(1);
  keepalive(400);  // K == C(T): T is resent from there, A1
  EXPECT_EQ(flushed(), 400);
}

TEST_F(AckTrackerTest, IgnoresAKeepaliveBeyondTheCommitRecordOfTheOpenTransaction) {
  begin(400);
  keepalive(401);
  EXPECT_EQ(flushed(), 100);
}

TEST_F(AckTrackerTest, IgnoresKeepalivesThatStepBack) {
  keepalive(50);
  EXPECT_EQ(flushed(), 100);
  transaction(200, 210, 1);
  keepalive(205);
  EXPECT_EQ(tracker.received(), Lsn{210});
}

TEST_F(AckTrackerTest, TransactionWithoutRecordsIsConfirmedAfterTheOnesBeforeIt) {
  const UnitId first = transaction(200, 210, 1);
  transaction(220, 230, 0);
  EXPECT_EQ(flushed(), 100);
  deliver(first, 1);
  EXPECT_EQ(flushed(), 230);
}

TEST_F(AckTrackerTest, KeepsNoUnitForKeepalivesAndEmptyTransactions) {
  transaction(200, 210, 1);
  for (std::uint64_t position = 300; position < 400'300; position += 4) {
    keepalive(position);
    transaction(position + 1, position + 2, 0);
  }
  EXPECT_EQ(tracker.units(), 1);
}

TEST_F(AckTrackerTest, IsFullWhenCompleteUnitsPileUpBehindAStuckOne) {
  transaction(200, 210, 1);
  std::uint64_t position = 300;
  while (!tracker.full()) {
    deliver(transaction(position, position + 1, 1), 1);
    position += 2;
  }
  EXPECT_EQ(tracker.units(), AckTracker::kUnitsMax);
  EXPECT_EQ(flushed(), 100);
}

using AckTrackerDeathTest = AckTrackerTest;

TEST_F(AckTrackerDeathTest, RefusesMoreDeliveriesThanRecords) {  // F10
  const UnitId unit = transaction(200, 210, 1);
  EXPECT_EXIT(deliver(unit, 2), testing::ExitedWithCode(70), "internal error");
}

TEST_F(AckTrackerDeathTest, RefusesAPositionThatGoesBack) {
  keepalive(300);
  begin(200);
  EXPECT_EXIT(commit(210), testing::ExitedWithCode(70), "internal error");
}

// The naive reference: every unit and keepalive as an entry of its own, as docs/delivery.md words the rules.
class Reference {
 public:
  explicit Reference(std::uint64_t start) : flushed_(start), newest_(start) {}

  void begin(std::uint64_t final_lsn) { entries_.push_back({final_lsn, 0, false, false}); }
  void record() { ++entries_.back().outstanding; }
  void commit(std::uint64_t end) {
    entries_.back().position = newest_ = end;
    entries_.back().closed = true;
  }
  void keepalive(std::uint64_t wal_end) {
    if (wal_end <= newest_) {
      return;
    }
    const bool open = !entries_.empty() && !entries_.back().closed;
    if (open && wal_end > entries_.back().position) {
      return;
    }
    newest_ = wal_end;
    entries_.insert(entries_.end() - (open ? 1 : 0), {wal_end, 0, true, true});
  }
  // The nth transaction since the start.
  void delivered(std::size_t transaction) {
    std::size_t skip = transaction - completed_;
    for (Entry& entry : entries_) {
      if (!entry.is_keepalive && skip-- == 0) {
        --entry.outstanding;
        return;
      }
    }
  }
  Reference& settle() {
    while (!entries_.empty() && entries_.front().closed && entries_.front().outstanding == 0) {
      flushed_ = entries_.front().position;
      completed_ += entries_.front().is_keepalive ? 0 : 1;
      entries_.pop_front();
    }
    return *this;
  }
  std::uint64_t flushed() const { return flushed_; }

 private:
  struct Entry {
    std::uint64_t position;  // of an open transaction: its final LSN
    std::uint64_t outstanding;
    bool closed;
    bool is_keepalive;
  };
  std::deque<Entry> entries_;
  std::size_t completed_ = 0;  // transactions popped
  std::uint64_t flushed_;
  std::uint64_t newest_;
};

TEST(AckTrackerModelTest, AgreesWithTheNaiveReferenceOnRandomHistories) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto roll = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
  for (int history = 0; history < 3000; ++history) {
    AckTracker tracker(Lsn{1000});
    Reference reference(1000);
    std::uint64_t wal = 1000;
    std::size_t transactions = 0;                             // begun
    std::vector<std::pair<UnitId, std::size_t>> undelivered;  // one entry per record: unit, number of its transaction
    bool open = false;
    std::uint64_t final_lsn = 0;
    for (int step = 0; step < 400; ++step) {
      const std::size_t dice = roll(100);
      if (!open && dice < 25) {
        final_lsn = wal += roll(3) == 0 ? 0 : 1 + roll(50);  // back-to-back commits: C(T) is the end of the one before
        tracker.begin(Lsn{final_lsn}, WallTime{}, TimePoint{});
        reference.begin(final_lsn);
        open = true;
        ++transactions;
      } else if (open && dice < 25) {
        tracker.add_record();
        reference.record();
        undelivered.emplace_back(tracker.open_unit(), transactions - 1);
      } else if (open && dice < 40) {
        wal = final_lsn + 1 + roll(20);
        tracker.commit(Lsn{wal});
        reference.commit(wal);
        open = false;
      } else if (dice < 60) {
        // Inside a transaction up to and a little beyond its commit record; outside sometimes behind.
        const std::uint64_t position =
            open ? final_lsn - std::min<std::uint64_t>(final_lsn, roll(40)) + roll(3) : wal - roll(20) + roll(60);
        tracker.keepalive(Lsn{position});
        reference.keepalive(position);
        wal = std::max(wal, open ? wal : position);
      } else if (!undelivered.empty()) {
        const std::size_t pick = roll(4) == 0 ? roll(undelivered.size()) : 0;
        tracker.delivered(undelivered[pick].first, 1);
        reference.delivered(undelivered[pick].second);
        undelivered.erase(undelivered.begin() + static_cast<std::ptrdiff_t>(pick));
      }
      while (tracker.next_completed()) {
      }
      ASSERT_EQ(tracker.flushed().value, reference.settle().flushed()) << "history " << history << " step " << step;
    }
  }
}

}  // namespace
}  // namespace outboxx
