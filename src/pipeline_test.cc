// The pipeline between a scripted stream and a recording sink: what is confirmed, when, and how it ends.
#include "pipeline.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fakes/recording_sink.h"
#include "fakes/scripted_stream.h"

namespace outboxx {
namespace {

using Pgoutput = PgoutputWriter;

class PipelineTest : public testing::Test {
 protected:
  PipelineTest() {
    StreamConfig orders;
    orders.name = "orders";
    orders.schema = "public";
    orders.table = "orders";
    orders.operations = {.insert = true, .update = true, .remove = true};
    orders.topic = "orders";
    orders.routing_key = "id";
    streams.push_back(orders);
    metrics.streams.emplace_back().name = "orders";
    stream.wal(0, Pgoutput::relation(1, "orders", {"id", "v"}));
  }

  // A transaction of one insert per value: commit record from final_lsn to end_lsn.
  void transaction(std::uint64_t final_lsn, std::uint64_t end_lsn, const std::vector<std::string>& ids) {
    stream.wal(final_lsn, Pgoutput::begin(final_lsn));
    for (const std::string& id : ids) {
      stream.wal(final_lsn - 1, Pgoutput::insert(1, {id, "x"}));
    }
    stream.wal(end_lsn, Pgoutput::commit(final_lsn, end_lsn));
  }
  void stop() { ::raise(SIGTERM); }

  // Runs the pipeline; each step happens when it has nothing left to read. After the last one it is told to stop.
  Result<> run(const std::vector<std::function<void()>>& steps = {}) {
    std::size_t next = 0;
    stream.on_idle = [&] {
      if (next < steps.size()) {
        steps[next++]();
      } else if (next++ == steps.size()) {
        stop();
      }
    };
    Pipeline pipeline(
        {.stream = stream, .sink = sink, .monitor = nullptr, .signals = *signals, .metrics = metrics, .streams = streams},
        options, start, Clock::now());
    return pipeline.run();
  }
  [[nodiscard]] std::uint64_t confirmed() const { return stream.statuses.back().flush.value; }
  [[nodiscard]] std::vector<std::string> keys() const {
    std::vector<std::string> keys;
    keys.reserve(sink.sent.size());
    for (const auto& record : sink.sent) {
      keys.push_back(record.key);
    }
    return keys;
  }

  Result<SignalFd> signals = SignalFd::create();
  ScriptedStream stream;
  RecordingSink sink;
  Metrics metrics;
  std::vector<StreamConfig> streams;
  PipelineOptions options;
  SessionStart start{.confirmed_flush = Lsn{100}, .wal_sender_timeout = std::chrono::seconds(60), .format = {}};
};

TEST_F(PipelineTest, DeliversEveryRowInOrderAndConfirmsTheEndOfTheLastCommit) {
  sink.deliver_at_once = true;
  transaction(200, 210, {"1", "2"});
  transaction(220, 230, {"3"});
  ASSERT_TRUE(run().has_value());
  EXPECT_EQ(keys(), (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ(confirmed(), 230);
  EXPECT_TRUE(stream.ended);
}

TEST_F(PipelineTest, EventIdsAreCommitLsnAndOrdinal) {
  sink.deliver_at_once = true;
  stream.wal(200, Pgoutput::begin(0x200));
  stream.wal(201, Pgoutput::truncate(1));  // counted: ordinals come before routing
  stream.wal(202, Pgoutput::insert(1, {"1", "x"}));
  stream.wal(203, Pgoutput::insert(1, {"2", "x"}));
  stream.wal(204, Pgoutput::commit(0x200, 0x210));
  ASSERT_TRUE(run().has_value());
  ASSERT_EQ(sink.sent.size(), 2);
  std::string id;
  append_event_id(id, sink.sent[1].id);
  EXPECT_EQ(id, "0000000000000200-000000000002-0000");
}

TEST_F(PipelineTest, KeepaliveWithAReplyRequestIsAnsweredAtOnceWithTheSafePosition) {  // F1 F6
  transaction(200, 210, {"1"});
  stream.keepalive(500, true);
  std::uint64_t answer = 0;
  ASSERT_TRUE(run({[] {},
                   [&] {
                     answer = confirmed();
                     sink.deliver_all();
                   }})
                  .has_value());
  EXPECT_EQ(answer, 100);
  EXPECT_EQ(confirmed(), 500);
}

TEST_F(PipelineTest, IdleStreamConfirmsKeepalives) {  // F4
  stream.keepalive(500);
  ASSERT_TRUE(run().has_value());
  EXPECT_EQ(confirmed(), 500);
}

TEST_F(PipelineTest, FullSinkStopsTheReadingAndNothingIsLostOrReordered) {
  sink.capacity = 2;
  transaction(200, 210, {"1", "2", "3", "4", "5"});
  std::size_t unread_when_full = 0;
  ASSERT_TRUE(run({[&] {
                     unread_when_full = stream.unread();
                     sink.deliver(1);
                   },
                   [&] { sink.deliver(2); }, [&] { sink.deliver(2); }, [&] { sink.deliver_all(); }})
                  .has_value());
  EXPECT_GT(unread_when_full, 0);
  EXPECT_EQ(keys(), (std::vector<std::string>{"1", "2", "3", "4", "5"}));
  EXPECT_EQ(confirmed(), 210);
}

TEST_F(PipelineTest, StopWaitsForTheEndOfTheTransactionAtHandAndForItsDeliveries) {  // F23
  stream.wal(200, Pgoutput::begin(200));
  stream.wal(199, Pgoutput::insert(1, {"1", "x"}));
  ASSERT_TRUE(run({[&] { stop(); },
                   [&] {
                     stream.wal(199, Pgoutput::insert(1, {"2", "x"}));
                     stream.wal(200, Pgoutput::commit(200, 210));
                     transaction(220, 230, {"not read"});
                   },
                   [&] { sink.deliver_all(); }})
                  .has_value());
  EXPECT_EQ(keys(), (std::vector<std::string>{"1", "2"}));
  EXPECT_EQ(confirmed(), 210);
  EXPECT_TRUE(stream.ended);
}

// A transaction whose commit comes in a later read than its last row.
TEST_F(PipelineTest, TransactionWhoseRowsWereDeliveredBeforeItsCommitCameIsConfirmed) {
  sink.deliver_at_once = true;
  std::uint64_t before_stop = 0;
  stream.wal(200, Pgoutput::begin(200));
  stream.wal(199, Pgoutput::insert(1, {"1", "x"}));
  ASSERT_TRUE(run({[] {}, [&] { stream.wal(200, Pgoutput::commit(200, 210)); }, [&] { stream.keepalive(300, true); },
                   [&] { before_stop = confirmed(); }})
                  .has_value());
  EXPECT_EQ(before_stop, 300);
  EXPECT_EQ(confirmed(), 300);
}

TEST_F(PipelineTest, StopGivesUpAfterItsBoundAndConfirmsNothingUndelivered) {
  options.drain_timeout = std::chrono::milliseconds(50);
  transaction(200, 210, {"1"});
  ASSERT_TRUE(run().has_value());
  EXPECT_EQ(confirmed(), 100);
  EXPECT_TRUE(stream.ended);
}

TEST_F(PipelineTest, FailedDeliveryEndsTheSessionWithoutConfirmingItsUnit) {  // F3
  transaction(200, 210, {"1"});
  transaction(220, 230, {"2"});
  const auto result = run({[&] { sink.fail_delivery({.code = ErrorCode::kKafkaRefused, .message = "not allowed"}); }});
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kKafkaRefused);
  EXPECT_EQ(confirmed(), 100);
}

TEST_F(PipelineTest, RefusedRecordNamesTheTableAndTheLsn) {  // F66
  sink.produce_error = Error{.code = ErrorCode::kKafkaRefused, .message = "record of 2000000 bytes is too large"};
  transaction(0x200, 0x210, {"1"});
  const auto result = run();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message,
            "could not send INSERT on \"public.orders\" at LSN 0/1FF: record of 2000000 bytes is too large");
}

TEST_F(PipelineTest, LostConnectionIsReportedAfterEverythingReadWasHandedOver) {
  transaction(200, 210, {"1"});
  stream.lose_connection();
  const auto result = run();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kPostgresUnreachable);
  EXPECT_EQ(keys(), (std::vector<std::string>{"1"}));
}

TEST_F(PipelineTest, ChangesNobodyWantsAreCountedAndConfirmed) {
  stream.wal(0, Pgoutput::relation(2, "other", {"id"}));
  stream.wal(200, Pgoutput::begin(200));
  stream.wal(199, Pgoutput::insert(2, {"1"}));
  stream.wal(200, Pgoutput::commit(200, 210));
  ASSERT_TRUE(run().has_value());
  EXPECT_EQ(confirmed(), 210);
  EXPECT_EQ(metrics.changes_skipped.value(), 1);
  EXPECT_TRUE(sink.sent.empty());
}

TEST_F(PipelineTest, ChangesThatHadArrivedArePassedOverAndCounted) {
  sink.deliver_at_once = true;
  start.state.emplace().progress = {.position = Lsn{210}, .open_commit = Lsn{220}, .ordinal = 1};
  start.progress.is_transactional = true;
  transaction(200, 210, {"1", "2"});
  transaction(220, 230, {"3", "4"});
  ASSERT_TRUE(run().has_value());
  ASSERT_EQ(keys(), (std::vector<std::string>{"4", ""}));  // and the record of the position
  EXPECT_EQ(metrics.changes_repeated.value(), 3);
  EXPECT_EQ(confirmed(), 230);
}

TEST_F(PipelineTest, TransactionThatHasToBeSplitIsReadAgainAndMarked) {
  start.state.emplace().progress.position = Lsn{100};
  start.progress = {.is_transactional = true, .batch_records = 100, .split_bytes = 4, .may_split = true};
  stream.wal(200, Pgoutput::begin(200));
  stream.wal(199, Pgoutput::insert(1, {"1", "x"}));
  stream.on_idle = [] {};
  Pipeline first(
      {.stream = stream, .sink = sink, .monitor = nullptr, .signals = *signals, .metrics = metrics, .streams = streams},
      options, start, Clock::now());
  const Result<> ended = first.run();
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, ErrorCode::kKafkaUnreachable);
  EXPECT_EQ(first.split_commit(), Lsn{200});
  EXPECT_EQ(sink.sent.size(), 1);
  EXPECT_FALSE(sink.sent[0].is_split);

  sink.sent.clear();
  sink.deliver_at_once = true;
  start.split_commit = Lsn{200};
  stream.wal(0, Pgoutput::relation(1, "orders", {"id", "v"}));
  transaction(180, 190, {"0"});
  transaction(200, 210, {"1"});
  ASSERT_TRUE(run().has_value());
  EXPECT_EQ(keys(), (std::vector<std::string>{"0", "", "1", ""}));  // it has a Kafka transaction of its own
  EXPECT_FALSE(sink.sent[0].is_split);
  EXPECT_TRUE(sink.sent[2].is_split);
}

TEST_F(PipelineTest, RecordBeforeATransactionThatIsResumedKeepsItsPartAndEndsNoSession) {
  sink.deliver_at_once = true;
  start.state.emplace().progress = {.position = Lsn{110}, .open_commit = Lsn{220}, .ordinal = 1};
  start.progress.is_transactional = true;
  stream.keepalive(150, true);
  ASSERT_TRUE(run({[this] { transaction(220, 230, {"3", "4"}); }}).has_value());
  ASSERT_EQ(keys(), (std::vector<std::string>{"", "4", ""}));
  EXPECT_TRUE(sink.sent[0].value.contains(R"("position":"0/96","open_commit":"0/DC","ordinal":1)")) << sink.sent[0].value;
  EXPECT_TRUE(sink.sent[2].value.contains(R"("position":"0/E6","open_commit":"0/0","ordinal":0)")) << sink.sent[2].value;
  EXPECT_EQ(confirmed(), 230);
}

// What the server still sends is read and dropped then, and with it the message that the change points into.
TEST_F(PipelineTest, ChangeThatWaitsForTheSinkIsGivenUpWithTheStream) {
  sink.capacity = 1;
  options.drain_timeout = std::chrono::milliseconds(0);
  stream.answers_copy_done = false;
  transaction(200, 210, {"1", "2", "3"});
  int waits = 0;
  stream.on_idle = [&] {
    if (++waits == 1) {
      stop();
    } else if (stream.ended) {
      sink.capacity = 10;
      sink.deliver_all();
    }
  };
  Pipeline pipeline(
      {.stream = stream, .sink = sink, .monitor = nullptr, .signals = *signals, .metrics = metrics, .streams = streams},
      options, start, Clock::now());
  ASSERT_TRUE(pipeline.run().has_value());
  EXPECT_EQ(keys(), (std::vector<std::string>{"1"}));
  EXPECT_EQ(confirmed(), 100);
}

TEST_F(PipelineTest, SlotThatIsAheadOfTheRecordIsAMistakeOfOurs) {
  start.state.emplace().progress.position = Lsn{99};
  const Result<> ended = run();
  ASSERT_FALSE(ended.has_value());
  EXPECT_EQ(ended.error().code, ErrorCode::kInternal);
  EXPECT_EQ(ended.error().message, "would have PostgreSQL confirm 0/64, but only 0/63 is recorded");
  EXPECT_TRUE(stream.statuses.empty());
}

TEST_F(PipelineTest, RowOutsideATransactionIsAProtocolError) {
  stream.wal(199, Pgoutput::insert(1, {"1", "x"}));
  const auto result = run();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kProtocol);
}

TEST_F(PipelineTest, CommitBelowAConfirmedPositionIsAProtocolError) {  // F10
  stream.keepalive(500);
  stream.wal(200, Pgoutput::begin(200));
  stream.wal(210, Pgoutput::commit(200, 210));
  const auto result = run();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kProtocol);
}

}  // namespace
}  // namespace outboxx
