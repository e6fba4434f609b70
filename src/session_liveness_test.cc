// When a session gives up its peer, or itself; with a virtual clock.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "fakes/recording_sink.h"
#include "fakes/scripted_stream.h"
#include "session.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SessionLiveness : public testing::Test {
 protected:
  Session start(seconds wal_sender_timeout, seconds silence_limit) {
    Session session(
        {.stream = stream, .sink = sink, .metrics = metrics, .streams = {}}, {},
        {.confirmed_flush = Lsn{100}, .wal_sender_timeout = wal_sender_timeout, .format = {}, .silence_limit = silence_limit},
        now);
    EXPECT_TRUE(session.begin(now));
    return session;
  }
  // Second by second; heard: whether the peer says anything.
  Result<> run(Session& session, seconds duration, bool heard = false) {
    for (const TimePoint end = now + duration; now < end;) {
      now += seconds(1);
      static_cast<void>(session.prepare_wait(now));
      TRY(session.turn({.postgres = heard, .heard = heard}, now));
    }
    return {};
  }
  [[nodiscard]] std::size_t requests() const {
    std::size_t count = 0;
    for (const StandbyStatus& status : stream.statuses) {
      count += status.request_reply ? 1 : 0;
    }
    return count;
  }

  ScriptedStream stream;
  RecordingSink sink;
  Metrics metrics;
  TimePoint now = TimePoint(seconds(1000));
};

TEST_F(SessionLiveness, AsksASilentPeerEveryFiveSecondsAndGivesItUpAfterItsLimit) {  // F18
  Session session = start(seconds(60), seconds(20));
  EXPECT_TRUE(run(session, seconds(19)));
  EXPECT_EQ(requests(), 4);  // at the start, and after 5, 10 and 15 s
  EXPECT_FALSE(session.peer_was_silent());
  const Result<> ended = run(session, seconds(1));
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::kPostgresUnreachable);
  EXPECT_EQ(ended.error().message, "PostgreSQL has not answered for 20000 ms");
  EXPECT_TRUE(session.peer_was_silent());
}

TEST_F(SessionLiveness, PartOfAMessageIsASignOfLife) {
  Session session = start(seconds(60), seconds(20));
  EXPECT_TRUE(run(session, seconds(60), true));
}

TEST_F(SessionLiveness, WaitsLongerIfItIsTold) {
  Session session = start(seconds(60), seconds(40));
  EXPECT_TRUE(run(session, seconds(39)));
  EXPECT_FALSE(run(session, seconds(1)));
}

TEST_F(SessionLiveness, FrozenForLongerThanTheServersTimeoutIsALostSession) {  // F85 F112
  Session session = start(seconds(6), seconds(20));
  now += seconds(6);
  EXPECT_TRUE(session.turn({}, now));
  now += seconds(7);
  stream.keepalive(500);
  const Result<> ended = session.turn({.postgres = true, .heard = true}, now);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().message, "the process did not run for 7000 ms, longer than wal_sender_timeout");
  EXPECT_EQ(stream.unread(), 1);  // nothing is done before
}

TEST_F(SessionLiveness, FrozenWithoutATimeoutOfTheServerGoesOn) {
  Session session = start(seconds(0), seconds(20));
  now += seconds(3600);
  EXPECT_TRUE(session.turn({.heard = true}, now));
}

// A position that only a keepalive moved has time to be recorded, but not if somebody waits for the end.
TEST_F(SessionLiveness, StopOfAnIdleStreamWaitsForNoTimer) {
  sink.deliver_at_once = true;
  SessionStart idle{.confirmed_flush = Lsn{100}, .wal_sender_timeout = seconds(60), .format = {}};
  idle.state.emplace().progress.position = Lsn{100};
  Session session({.stream = stream, .sink = sink, .metrics = metrics, .streams = {}}, {}, idle, now);
  ASSERT_TRUE(session.begin(now));
  for (const std::uint64_t wal_end : {200UL, 300UL}) {  // the first is recorded at once
    stream.keepalive(wal_end);
    ASSERT_TRUE(session.turn({.postgres = true, .heard = true, .sink = true}, now));
    ASSERT_TRUE(session.turn({.heard = true, .sink = true}, now));
  }
  now += milliseconds(200);
  session.stop(now);
  const TimePoint stopped_at = now;
  while (!session.ended() && now - stopped_at < seconds(30)) {
    for (int turn = 0; turn < 3; ++turn) {  // one for what the sink delivers at once, and one for the stream's end
      ASSERT_TRUE(session.turn({.postgres = true, .heard = true, .sink = true}, now));
    }
    now = session.ended() ? now : std::max(now, session.prepare_wait(now).until);
  }
  EXPECT_EQ(stream.statuses.back().flush, Lsn{300});
  EXPECT_LT(now - stopped_at, milliseconds(100));
}

// Each wake-up for a delivery once put the read off by the whole bound: beside a busy sink it came late, or never.
TEST_F(SessionLiveness, ReadsWithinTheBoundWhateverElseWakesIt) {
  stream.bound = milliseconds(2);
  Session session = start(seconds(60), seconds(20));
  EXPECT_TRUE(session.turn({}, now));  // the first turn reads
  stream.keepalive(500);
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_EQ(session.prepare_wait(now).until - TimePoint(seconds(1000)), milliseconds(2));
    now += milliseconds(1);
    EXPECT_EQ(stream.unread(), 1);
    EXPECT_TRUE(session.turn({.sink = true}, now));
  }
  EXPECT_EQ(stream.unread(), 0);
}

// Beside a batch that is out: librdkafka spins while records wait behind a request.
class SessionBatch : public SessionLiveness {
 protected:
  SessionBatch() {
    stream.bound = milliseconds(2);
    stream.delivery_bound = milliseconds(200);
    sink.linger_time = milliseconds(3);
    stream.wal(0, PgoutputWriter::relation(1, "orders", {"id"}));
    row(200);
    EXPECT_TRUE(session.begin(now));
    EXPECT_TRUE(session.turn({.postgres = true, .heard = true}, now));
    EXPECT_EQ(sink.undelivered(), 1);
  }
  void row(std::uint64_t lsn) {
    stream.wal(lsn, PgoutputWriter::begin(lsn));
    stream.wal(lsn - 1, PgoutputWriter::insert(1, {"1"}));
    stream.wal(lsn + 5, PgoutputWriter::commit(lsn, lsn + 5));
  }
  std::vector<StreamConfig> one_stream() {
    metrics.streams.emplace_back().name = "orders";
    StreamConfig orders;
    orders.name = "orders";
    orders.schema = "public";
    orders.table = "orders";
    orders.operations = {.insert = true};
    orders.topic = "orders";
    orders.routing_key = "id";
    return {orders};
  }
  [[nodiscard]] Duration until_next_read() { return session.prepare_wait(now).until - now; }
  void wake_up_after(Duration time, Session::Ready ready = {}) {
    static_cast<void>(session.prepare_wait(now));
    now += time;
    EXPECT_TRUE(session.turn(ready, now));
  }

  std::vector<StreamConfig> streams = one_stream();
  PipelineOptions options{.shutdown_grace = seconds(2)};  // no multiple of another timer: that would wake the loop as well
  Session session{{.stream = stream, .sink = sink, .metrics = metrics, .streams = streams},
                  options,
                  {.confirmed_flush = Lsn{100}, .wal_sender_timeout = seconds(60), .format = {}},
                  now};
};

TEST_F(SessionBatch, ReadsAgainWhenTheBatchHasArrived) {
  EXPECT_EQ(until_next_read(), milliseconds(2)) << "it is being gathered";
  wake_up_after(milliseconds(2));
  EXPECT_EQ(until_next_read(), milliseconds(200));
  row(300);
  wake_up_after(milliseconds(5));
  EXPECT_EQ(stream.unread(), 3);
  sink.deliver_all();
  wake_up_after(milliseconds(0), {.sink = true});
  EXPECT_EQ(stream.unread(), 0) << "with its arrival, and not a wake-up later";
}

TEST_F(SessionBatch, ReadsWithoutItAfterItsBound) {
  wake_up_after(milliseconds(2));
  row(300);
  wake_up_after(milliseconds(199));
  EXPECT_EQ(stream.unread(), 3);
  wake_up_after(milliseconds(1));
  EXPECT_EQ(stream.unread(), 0);
  EXPECT_EQ(until_next_read(), milliseconds(2)) << "one partition without a leader does not slow down the others";
}

TEST_F(SessionBatch, ReadsTheRestOfATransactionAtOnce) {
  wake_up_after(milliseconds(2));
  stream.wal(400, PgoutputWriter::begin(400));
  wake_up_after(milliseconds(200), {.postgres = true, .heard = true});
  EXPECT_EQ(until_next_read(), milliseconds(2));
}

TEST_F(SessionBatch, ReadsAtOnceWhenItIsToStop) {
  wake_up_after(milliseconds(2));
  EXPECT_EQ(until_next_read(), milliseconds(200));
  stream.wal(400, PgoutputWriter::begin(400));
  wake_up_after(milliseconds(1), {.postgres = true, .heard = true});
  session.stop(now);
  EXPECT_EQ(until_next_read(), milliseconds(2));
}

TEST_F(SessionBatch, GivesUpAServerThatWantsToStopWhenTheGraceIsOver) {
  stream.bound = stream.delivery_bound = milliseconds(0);  // or each read would look at the grace
  session.server_is_stopping(now);
  const TimePoint stopping_since = now;
  Result<> ended;
  while (ended && now - stopping_since < seconds(60)) {
    now = std::max(now, session.prepare_wait(now).until);
    ended = session.turn({.heard = true}, now);
  }
  ASSERT_FALSE(ended);
  EXPECT_EQ(now - stopping_since, options.shutdown_grace) << ended.error().message;
}

TEST_F(SessionBatch, StopBetweenTransactionsBeginsNoOther) {
  sink.deliver_all();
  wake_up_after(milliseconds(2), {.sink = true});
  session.stop(now);
  row(300);
  wake_up_after(milliseconds(0), {.postgres = true, .heard = true});
  EXPECT_EQ(stream.unread(), 3);
  EXPECT_TRUE(stream.ended);
}

}  // namespace
}  // namespace outboxx
