#include "progress_gate.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/state_record.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t kMiB = std::uint64_t{1024} * 1024;

class GateTest : public ::testing::Test {
 protected:
  explicit GateTest(bool is_transactional = false) { options_.is_transactional = is_transactional; }

  static Progress at(std::uint64_t position) { return {.position = Lsn{position}, .open_commit = {}, .ordinal = 0}; }
  static ProgressFacts facts(std::uint64_t flushed, std::uint64_t data = 0) {
    ProgressFacts facts;
    facts.flushed = Lsn{flushed};
    facts.received = Lsn{flushed};
    facts.data_received = Lsn{data};
    return facts;
  }
  static ProgressFacts gathered(std::uint64_t received, std::uint64_t records, std::uint64_t bytes) {
    ProgressFacts facts = GateTest::facts(received);
    facts.records = records;
    facts.bytes = bytes;
    return facts;
  }
  std::optional<Progress> due(ProgressGate& gate, const ProgressFacts& facts) {
    const auto progress = gate.due(facts, now_);
    EXPECT_TRUE(progress) << progress.error().message;
    return progress.value_or(std::nullopt);
  }
  void pass(milliseconds time) { now_ += time; }

  ProgressOptions options_;
  TimePoint now_{std::chrono::hours(1)};
};

TEST_F(GateTest, WithoutStateEverythingMayBeConfirmed) {
  ProgressGate gate(options_, std::nullopt, now_);
  EXPECT_EQ(gate.confirmable(Lsn{0x500}), Lsn{0x500});
  EXPECT_EQ(due(gate, facts(0x500, 0x500)), std::nullopt);
}

TEST_F(GateTest, ConfirmsNoMoreThanIsRecorded) {
  ProgressGate gate(options_, at(0x100), now_);
  EXPECT_EQ(gate.confirmable(Lsn{0x90}), Lsn{0x90});
  EXPECT_EQ(gate.confirmable(Lsn{0x200}), Lsn{0x100});
  ASSERT_EQ(due(gate, facts(0x200, 0x200)), at(0x200));
  gate.written(at(0x200), facts(0x200, 0x200), now_);
  EXPECT_EQ(gate.confirmable(Lsn{0x200}), Lsn{0x100});
  gate.acknowledged();
  EXPECT_EQ(gate.confirmable(Lsn{0x300}), Lsn{0x200});
}

TEST_F(GateTest, WritesOneRecordAtATimeAndOneInAnInterval) {
  ProgressGate gate(options_, at(0x100), now_);
  gate.written(at(0x200), facts(0x200, 0x200), now_);
  pass(milliseconds(5000));
  EXPECT_EQ(due(gate, facts(0x300, 0x300)), std::nullopt);
  gate.acknowledged();
  EXPECT_EQ(due(gate, facts(0x300, 0x300)), at(0x300));
  gate.written(at(0x300), facts(0x300, 0x300), now_);
  gate.acknowledged();
  pass(milliseconds(999));
  EXPECT_EQ(due(gate, facts(0x400, 0x400)), std::nullopt);
  EXPECT_EQ(gate.next(), now_ + milliseconds(1));
  pass(milliseconds(1));
  EXPECT_EQ(due(gate, facts(0x400, 0x400)), at(0x400));
}

TEST_F(GateTest, KeepalivesAloneAreRecordedRarely) {
  ProgressGate gate(options_, at(0x100), now_);
  gate.written(at(0x100), facts(0x100), now_);
  gate.acknowledged();
  EXPECT_EQ(due(gate, facts(0x200, 0x100)), std::nullopt);
  EXPECT_EQ(gate.next(), now_ + ProgressGate::kIdleInterval);
  EXPECT_EQ(due(gate, facts(0x100 + (16 * kMiB), 0x100)), at(0x100 + (16 * kMiB)));
  pass(ProgressGate::kIdleInterval);
  EXPECT_EQ(due(gate, facts(0x200, 0x100)), at(0x200));
  EXPECT_EQ(due(gate, facts(0x100, 0x100)), std::nullopt) << "nothing new";
}

TEST_F(GateTest, IsQuickWhenTheServerWaits) {
  ProgressGate gate(options_, at(0x100), now_);
  gate.written(at(0x100), facts(0x100), now_);
  gate.acknowledged();
  ProgressFacts urgent = facts(0x200);
  urgent.is_urgent = true;
  EXPECT_EQ(due(gate, urgent), std::nullopt);
  pass(milliseconds(100));
  EXPECT_EQ(due(gate, urgent), at(0x200));
}

TEST_F(GateTest, RecordsWhatOfASnapshotArrivedAlthoughThePositionStandsStill) {
  ProgressGate gate(options_, at(0x100), now_);
  gate.written(at(0x100), facts(0x100), now_);
  gate.acknowledged();
  ProgressFacts news = facts(0x100);
  news.has_snapshot_news = true;
  EXPECT_EQ(due(gate, news), std::nullopt);
  EXPECT_EQ(gate.next(), now_ + milliseconds(50));
  pass(milliseconds(50));
  EXPECT_EQ(due(gate, news), at(0x100));
  news.flushed = Lsn{0x90};  // after a restart, what was recorded before may be ahead
  EXPECT_EQ(due(gate, news), at(0x100));
  news.flushed = Lsn{0x200};
  EXPECT_EQ(due(gate, news), at(0x200));
}

class BatchTest : public GateTest {
 protected:
  BatchTest() : GateTest(true), gate_(options_, at(0x100), now_) {}

  ProgressGate gate_;
};

TEST_F(BatchTest, NeverClosesAmidAChunkOfASnapshot) {
  ProgressFacts amid = gathered(0x200, 10'000, 100);
  amid.is_mid_chunk = true;
  amid.is_urgent = true;
  EXPECT_EQ(due(gate_, amid), std::nullopt);
  EXPECT_EQ(gate_.next(), TimePoint::max());
  pass(milliseconds(1000));
  EXPECT_EQ(due(gate_, amid), std::nullopt);
  amid.is_mid_chunk = false;
  EXPECT_EQ(due(gate_, amid), at(0x200));
}

TEST_F(BatchTest, RecordsEmptyChunksToo) {
  ProgressFacts news = facts(0x100);
  news.has_snapshot_news = true;
  EXPECT_EQ(due(gate_, news), std::nullopt);
  EXPECT_EQ(gate_.next(), now_ + milliseconds(200));
  pass(milliseconds(200));
  EXPECT_EQ(due(gate_, news), at(0x100));
}

TEST_F(BatchTest, ClosesByRecordsBytesOrAge) {
  EXPECT_EQ(due(gate_, gathered(0x200, 9'999, 100)), std::nullopt);
  EXPECT_EQ(gate_.next(), now_ + milliseconds(200));
  EXPECT_EQ(due(gate_, gathered(0x200, 10'000, 100)), at(0x200));
  EXPECT_EQ(due(gate_, gathered(0x200, 1, 5 * kMiB)), at(0x200));
  pass(milliseconds(199));
  EXPECT_EQ(due(gate_, gathered(0x200, 1, 1)), std::nullopt);
  pass(milliseconds(1));
  EXPECT_EQ(due(gate_, gathered(0x200, 1, 1)), at(0x200));
}

TEST_F(BatchTest, CountsFromTheLastCommit) {
  gate_.written(at(0x200), gathered(0x200, 10'000, 100), now_);
  EXPECT_EQ(due(gate_, gathered(0x300, 30'000, 100)), std::nullopt) << "one commit at a time";
  gate_.acknowledged();
  EXPECT_FALSE(gate_.is_full(19'999, 100, now_));
  EXPECT_TRUE(gate_.is_full(20'000, 100, now_));
  EXPECT_EQ(due(gate_, gathered(0x300, 19'999, 100)), std::nullopt);
}

// As long as the brokers keep the Kafka transaction open: beyond that it is lost, whatever is done.
TEST_F(BatchTest, NeverClosesAmidATransaction) {
  ProgressFacts open = gathered(0x200, 20'000, 10 * kMiB);
  open.open_commit = Lsn{0x400};
  open.open_bytes = open.bytes;
  open.ordinal = 20'000;
  open.is_urgent = true;
  EXPECT_EQ(due(gate_, open), std::nullopt);
  EXPECT_EQ(gate_.next(), now_ + milliseconds(60'000));
  pass(milliseconds(59'999));
  EXPECT_EQ(due(gate_, open), std::nullopt);
}

TEST_F(BatchTest, RefusesATransactionThatTakesLongerThanAKafkaTransactionMay) {
  ProgressFacts open = gathered(0x200, 1, 100);
  open.open_commit = Lsn{0x400};
  open.open_bytes = open.bytes;
  open.ordinal = 1;
  EXPECT_EQ(due(gate_, open), std::nullopt);
  pass(milliseconds(60'000));
  const auto refused = gate_.due(open, now_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConfig);
  EXPECT_EQ(refused.error().message,
            "the transaction that commits at 0/400 takes longer than one Kafka transaction may, 60000 ms");
  EXPECT_TRUE(refused.error().hint.contains("split_large_transactions"));
}

TEST_F(BatchTest, SplitsATransactionThatTakesLongWhileThereIsTimeToCommit) {
  options_.may_split = true;
  ProgressGate gate(options_, at(0x200), now_);
  ProgressFacts open = gathered(0x200, 1, 100);
  open.open_commit = Lsn{0x400};
  open.open_bytes = open.bytes;
  open.ordinal = 1;
  EXPECT_EQ(due(gate, open), std::nullopt);
  EXPECT_EQ(gate.next(), now_ + milliseconds(30'000));
  pass(milliseconds(30'000));
  open.between_changes = false;
  EXPECT_EQ(due(gate, open), std::nullopt);
  EXPECT_EQ(gate.next(), TimePoint::max()) << "the sink's wake-up is what it waits for";
  open.between_changes = true;
  const Progress part{.position = Lsn{0x200}, .open_commit = Lsn{0x400}, .ordinal = 1};
  ASSERT_EQ(due(gate, open), part);
  gate.written(part, open, now_);
  gate.acknowledged();
  pass(milliseconds(60'000));
  EXPECT_EQ(due(gate, open), std::nullopt) << "no Kafka transaction is open";
  open.records = open.ordinal = 2;
  open.open_bytes = open.bytes += 100;
  EXPECT_EQ(due(gate, open), std::nullopt);
  EXPECT_EQ(gate.next(), now_ + milliseconds(30'000)) << "counted from its own first record";
}

TEST_F(BatchTest, ClosesBeforeATransactionThatIsOpenForLongAndHasNoRecords) {
  ProgressFacts open = gathered(0x200, 1, 100);
  open.open_commit = Lsn{0x400};
  open.ordinal = 7;
  EXPECT_EQ(due(gate_, open), std::nullopt);
  pass(milliseconds(60'000));
  EXPECT_EQ(due(gate_, open), at(0x200));
}

TEST_F(BatchTest, NewsOfASnapshotAloneKeepNoKafkaTransactionOpen) {
  ProgressFacts news = facts(0x100);
  news.has_snapshot_news = true;
  news.open_commit = Lsn{0x400};
  news.ordinal = 7;
  EXPECT_EQ(due(gate_, news), std::nullopt);
  pass(milliseconds(60'000));
  EXPECT_EQ(due(gate_, news), std::nullopt);
}

TEST_F(BatchTest, RefusesATransactionThatIsTooLarge) {
  ProgressFacts open = gathered(0x200, 20'000, 256 * kMiB);
  open.open_commit = Lsn{0x400};
  open.open_bytes = open.bytes;
  const auto refused = gate_.due(open, now_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConfig);
  EXPECT_TRUE(refused.error().hint.contains("split_large_transactions"));
}

TEST_F(BatchTest, JudgesATransactionWithoutThoseBeforeIt) {
  ProgressFacts open = gathered(0x200, 20'000, 300 * kMiB);
  open.open_commit = Lsn{0x400};
  open.open_bytes = 255 * kMiB;
  EXPECT_EQ(due(gate_, open), std::nullopt);
}

TEST_F(BatchTest, ClosesBeforeAndAfterATransactionThatGoesAlone) {
  ProgressFacts open = gathered(0x200, 1, 100);
  open.open_commit = Lsn{0x400};
  open.is_alone = true;
  EXPECT_EQ(due(gate_, open), at(0x200));
  gate_.written(at(0x200), open, now_);
  gate_.acknowledged();
  open.records = open.ordinal = 2;
  open.open_bytes = 100;
  EXPECT_EQ(due(gate_, open), std::nullopt) << "not amid it";
  open.open_commit.reset();
  open.received = Lsn{0x410};
  EXPECT_EQ(due(gate_, open), at(0x410));
}

TEST_F(BatchTest, MeasuresTheNextPartFromTheLastOne) {
  options_.may_split = true;
  ProgressGate gate(options_, at(0x200), now_);
  ProgressFacts open = gathered(0x200, 20'000, 256 * kMiB);
  open.open_commit = Lsn{0x400};
  open.open_bytes = open.bytes;
  gate.written(*due(gate, open), open, now_);
  gate.acknowledged();
  open.records += 1;
  open.open_bytes = open.bytes += 255 * kMiB;
  EXPECT_EQ(due(gate, open), std::nullopt);
  open.ordinal = 40'000;
  open.open_bytes = open.bytes += kMiB;
  EXPECT_TRUE(due(gate, open));
}

TEST_F(BatchTest, SplitsOneIfAllowedAndBetweenTwoChanges) {
  options_.may_split = true;
  ProgressGate gate(options_, at(0x210), now_);
  ProgressFacts open = gathered(0x200, 20'000, 256 * kMiB);
  open.open_commit = Lsn{0x400};
  open.open_bytes = open.bytes;
  open.ordinal = 20'000;
  open.between_changes = false;
  EXPECT_EQ(due(gate, open), std::nullopt);
  open.between_changes = true;
  // Behind a restart, what was received is below what is recorded.
  EXPECT_EQ(due(gate, open), (Progress{.position = Lsn{0x210}, .open_commit = Lsn{0x400}, .ordinal = 20'000}));
}

// A restart amid T: the server reads T's WAL once more before it sends T's Begin, and tells how far it is.
class ResumedTest : public GateTest {
 protected:
  ResumedTest() : GateTest(true), gate_(options_, part(0x200), now_) {}

  static Progress part(std::uint64_t position) {
    return {.position = Lsn{position}, .open_commit = Lsn{0x900'0000}, .ordinal = 20'000};
  }

  ProgressGate gate_;
};

TEST_F(ResumedTest, KeepsThePartUntilAllOfTheTransactionWasReceived) {
  EXPECT_EQ(due(gate_, facts(0x200 + (32 * kMiB))), part(0x200 + (32 * kMiB)));
  EXPECT_EQ(due(gate_, facts(0x900'0000)), part(0x900'0000)) << "what commits at the position is yet to come";
  EXPECT_EQ(due(gate_, facts(0x900'0001)), at(0x900'0001));
}

TEST_F(ResumedTest, KeepsThePartWhenTheServerWaits) {
  ProgressFacts urgent = facts(0x300);
  urgent.is_urgent = true;
  EXPECT_EQ(due(gate_, urgent), part(0x300));
}

TEST_F(ResumedTest, KeepsThePartInRecordsOfASnapshotsNews) {
  ProgressFacts news = facts(0x200 + (32 * kMiB));
  news.has_snapshot_news = true;
  news.is_urgent = true;
  EXPECT_EQ(due(gate_, news), part(0x200 + (32 * kMiB)));
  news.received = Lsn{0x100};  // as it is at once after the restart
  EXPECT_EQ(due(gate_, news), part(0x200));
  news.received = Lsn{0x900'0100};
  EXPECT_EQ(due(gate_, news), at(0x900'0100));
}

TEST_F(BatchTest, KeepalivesAloneAreRecordedRarely) {
  gate_.written(at(0x200), gathered(0x200, 10, 10), now_);
  gate_.acknowledged();
  EXPECT_EQ(due(gate_, gathered(0x300, 10, 10)), std::nullopt);
  pass(milliseconds(10'000));
  EXPECT_EQ(due(gate_, gathered(0x300, 10, 10)), at(0x300));
}

// Whatever happens in whatever order: nothing is confirmed that was not recorded, records never go back, and what waits is
// recorded within its time.
TEST_F(BatchTest, HoldsItsPromisesInRandomHistories) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  ProgressFacts known = gathered(0x100, 0, 0);
  Lsn recorded{0x100};
  std::optional<Progress> under_way;
  for (int step = 0; step < 20'000; ++step) {
    pass(milliseconds(random() % 20));
    if (random() % 2 == 0) {
      known.received.value += 1 + (random() % 1000);
      known.flushed = known.received;
      known.records += random() % 50;
      known.bytes += random() % 10'000;
    }
    if (under_way && random() % 4 == 0) {
      gate_.acknowledged();
      recorded = under_way->position;
      under_way.reset();
    }
    if (const auto progress = due(gate_, known)) {
      ASSERT_FALSE(under_way);
      ASSERT_GT(progress->position, recorded);
      gate_.written(*progress, known, now_);
      under_way = progress;
    }
    ASSERT_LE(gate_.confirmable(known.flushed), recorded);
  }
  EXPECT_GT(recorded, Lsn{0x10'0000});
}

}  // namespace
}  // namespace outboxx
