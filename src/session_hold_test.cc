// The stream held at a position: what was taken before it, what comes after, and what goes on meanwhile.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "fakes/recording_sink.h"
#include "fakes/scripted_stream.h"
#include "session.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Pgoutput = PgoutputWriter;

class SessionHold : public testing::Test {
 protected:
  SessionHold() {
    StreamConfig orders;
    orders.name = "orders";
    orders.schema = "public";
    orders.table = "orders";
    orders.operations = {.insert = true, .update = true, .remove = true, .read = false};
    orders.topic = "orders";
    orders.routing_key = "id";
    streams.push_back(orders);
    metrics.streams.emplace_back().name = "orders";
    sink.deliver_at_once = true;
  }

  Session start(std::uint64_t confirmed) {
    Session session({.stream = stream, .sink = sink, .metrics = metrics, .streams = streams}, {},
                    {.confirmed_flush = Lsn{confirmed}, .wal_sender_timeout = seconds(60), .format = {}}, now);
    EXPECT_TRUE(session.begin(now));
    return session;
  }
  // As the server sends it: the relation inside the transaction that first needs it.
  void transaction(std::uint64_t final_lsn, std::uint64_t end_lsn, const std::string& id) {
    stream.wal(final_lsn, Pgoutput::begin(final_lsn));
    stream.wal(0, Pgoutput::relation(1, "orders", {"id", "v"}));
    stream.wal(final_lsn - 1, Pgoutput::insert(1, {id, "x"}));
    stream.wal(end_lsn, Pgoutput::commit(final_lsn, end_lsn));
  }
  void turns(Session& session, int count) {
    for (int turn = 0; turn < count; ++turn) {
      now += milliseconds(10);
      static_cast<void>(session.prepare_wait(now));
      const auto result = session.turn({.postgres = true, .heard = true, .sink = true}, now);
      ASSERT_TRUE(result) << result.error().message;
    }
  }
  [[nodiscard]] std::vector<std::string> keys() const {
    std::vector<std::string> keys;
    keys.reserve(sink.sent.size());
    for (const auto& record : sink.sent) {
      keys.push_back(record.key);
    }
    return keys;
  }

  ScriptedStream stream;
  RecordingSink sink;
  Metrics metrics;
  std::vector<StreamConfig> streams;
  TimePoint now = TimePoint(seconds(1000));
};

TEST_F(SessionHold, TransactionsBeforeThePointAreTakenAndTheFirstAtItWaits) {
  Session session = start(100);
  ASSERT_TRUE(session.hold_at(Lsn{300}));
  transaction(200, 210, "1");
  transaction(299, 305, "2");  // its commit record starts before the point and ends after it
  transaction(305, 310, "3");
  turns(session, 5);
  EXPECT_TRUE(session.held());
  EXPECT_EQ(keys(), (std::vector<std::string>{"1", "2"}));
  EXPECT_FALSE(session.prepare_wait(now).reading);
  ASSERT_TRUE(session.release(now));
  EXPECT_FALSE(session.held());
  turns(session, 5);
  EXPECT_EQ(keys(), (std::vector<std::string>{"1", "2", "3"}));
}

TEST_F(SessionHold, TransactionThatCommitsAtThePointIsHeldWholeAndComesAfterwards) {
  Session session = start(100);
  ASSERT_TRUE(session.hold_at(Lsn{300}));
  transaction(300, 310, "1");
  turns(session, 5);
  EXPECT_TRUE(session.held());
  EXPECT_EQ(keys(), std::vector<std::string>());
  EXPECT_EQ(stream.unread(), 3);  // nothing after its Begin was received, so that stays valid
  ASSERT_TRUE(session.release(now));
  turns(session, 5);
  EXPECT_EQ(keys(), std::vector<std::string>{"1"});
  now += seconds(1);
  turns(session, 1);
  EXPECT_EQ(stream.statuses.back().flush, Lsn{310});
}

TEST_F(SessionHold, KeepaliveTellsThatThePointIsReached) {
  Session session = start(100);
  ASSERT_TRUE(session.hold_at(Lsn{300}));
  stream.keepalive(299);
  turns(session, 2);
  EXPECT_FALSE(session.held());
  stream.keepalive(300);
  turns(session, 2);
  EXPECT_TRUE(session.held());
}

TEST_F(SessionHold, PointThatIsPassedAlreadyIsReachedAtOnce) {
  Session session = start(300);
  ASSERT_TRUE(session.hold_at(Lsn{300}));
  EXPECT_TRUE(session.held());
  transaction(310, 320, "1");
  turns(session, 3);
  EXPECT_EQ(keys(), std::vector<std::string>());
  EXPECT_EQ(stream.unread(), 4);
}

TEST_F(SessionHold, PointBehindWhatWasTakenIsAnotherServers) {
  Session session = start(100);
  transaction(200, 210, "1");
  turns(session, 3);
  const auto held = session.hold_at(Lsn{205});
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code, ErrorCode::kPostgresUnreachable);
  EXPECT_EQ(held.error().message,
            "the snapshot was made at 0/CD, and the stream has passed that: its connection reached another server, which lags "
            "behind");
}

TEST_F(SessionHold, PointBehindWhatAnEarlierSessionConfirmedIsAnotherServers) {
  EXPECT_FALSE(start(100).hold_at(Lsn{99}));
}

// Exactly once, changes that were delivered are passed over though they were not confirmed: they cannot follow the rows.
TEST_F(SessionHold, PointBehindWhatAnEarlierSessionDeliveredIsAnotherServers) {
  StateRecord delivered;
  delivered.progress.position = Lsn{200};
  Session session({.stream = stream, .sink = sink, .metrics = metrics, .streams = streams}, {},
                  {.confirmed_flush = Lsn{100}, .wal_sender_timeout = seconds(60), .format = {}, .state = delivered}, now);
  EXPECT_FALSE(session.hold_at(Lsn{199}));
  EXPECT_TRUE(session.hold_at(Lsn{200}));
}

TEST_F(SessionHold, PointAmidAnOpenTransactionIsAnotherServers) {
  Session session = start(100);
  stream.wal(200, Pgoutput::begin(200));
  stream.wal(0, Pgoutput::relation(1, "orders", {"id", "v"}));
  stream.wal(150, Pgoutput::insert(1, {"1", "x"}));
  turns(session, 1);
  EXPECT_FALSE(session.hold_at(Lsn{160}));
}

TEST_F(SessionHold, StatusUpdatesGoOnAndConfirmNothingBeyondThePoint) {
  Session session = start(100);
  ASSERT_TRUE(session.hold_at(Lsn{300}));
  transaction(200, 210, "1");
  transaction(400, 410, "2");
  turns(session, 3);
  ASSERT_TRUE(session.held());
  const std::size_t before = stream.statuses.size();
  for (int second = 0; second < 60; ++second) {
    now += milliseconds(990);
    turns(session, 1);
  }
  EXPECT_GE(stream.statuses.size(), before + 5);
  EXPECT_EQ(stream.statuses.back().flush, Lsn{300});
}

TEST_F(SessionHold, StopWhileHeldLeavesTheHeldTransactionForTheNextSession) {
  Session session = start(100);
  ASSERT_TRUE(session.hold_at(Lsn{300}));
  transaction(200, 210, "1");
  transaction(400, 410, "2");
  turns(session, 3);
  session.stop(now);
  turns(session, 3);
  EXPECT_TRUE(stream.ended);
  EXPECT_EQ(keys(), std::vector<std::string>{"1"});
  EXPECT_EQ(stream.statuses.back().flush, Lsn{300});
}

}  // namespace
}  // namespace outboxx
