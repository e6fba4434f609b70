#include "model/snapshot_job.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "model/snapshot_job_json.h"
#include "model/state_record.h"

namespace outboxx {
namespace {

SnapshotJob job_of(std::string table) {
  return {.tables = {std::move(table)}, .where = {}};
}

StateRecord record_with(SnapshotJobs jobs) {
  StateRecord record;
  record.jobs = std::move(jobs);
  return record;
}

TEST(SnapshotJobs, TakesTheFirstThatIsNotPaused) {
  SnapshotJobs jobs;
  EXPECT_EQ(jobs.next(), nullptr);
  const auto first = jobs.add(job_of("public.a"));
  const auto second = jobs.add(job_of("public.b"));
  EXPECT_EQ(jobs.next()->id, first);
  EXPECT_TRUE(jobs.set_paused(first, true));
  EXPECT_EQ(jobs.next()->id, second);
  EXPECT_TRUE(jobs.set_paused(first, false));
  EXPECT_TRUE(jobs.remove(first));
  EXPECT_FALSE(jobs.remove(first));
  EXPECT_EQ(jobs.next()->id, second);
}

TEST(SnapshotJobs, GoesFromTableToTableToItsEnd) {
  SnapshotJobs jobs;
  const auto id = jobs.add({.tables = {"public.a", "public.b"}, .where = {}});
  const JobPlace place{.leaf_done = 0, .key_leaf = 7, .key = {{"id", "10", "23/0"}}};
  EXPECT_FALSE(jobs.arrive(id, place, 10, false));
  EXPECT_EQ(jobs.find(id)->place, place);
  EXPECT_FALSE(jobs.arrive(id, place, 5, true));
  EXPECT_EQ(jobs.find(id)->table(), "public.b");
  EXPECT_EQ(jobs.find(id)->place, JobPlace{});
  EXPECT_EQ(jobs.find(id)->rows, 15U);
  EXPECT_TRUE(jobs.arrive(id, {}, 0, true));
  EXPECT_EQ(jobs.find(id), nullptr);
}

TEST(SnapshotJobs, PassesOverAChunkOfAJobThatWasCanceled) {
  SnapshotJobs jobs;
  const auto id = jobs.add(job_of("public.a"));
  EXPECT_TRUE(jobs.remove(id));
  const auto revision = jobs.revision;
  EXPECT_FALSE(jobs.arrive(id, {}, 1, true));
  EXPECT_EQ(jobs.revision, revision);
}

TEST(SnapshotJobs, EachChangeIsNewerThanTheLast) {
  SnapshotJobs jobs;
  const auto id = jobs.add(job_of("public.a"));
  EXPECT_EQ(jobs.revision, 1U);
  EXPECT_TRUE(jobs.set_paused(id, true));
  EXPECT_EQ(jobs.revision, 2U);
  EXPECT_FALSE(jobs.arrive(id, {}, 1, false));
  EXPECT_EQ(jobs.revision, 3U);
  EXPECT_TRUE(jobs.remove(id));
  EXPECT_EQ(jobs.revision, 4U);
  EXPECT_EQ(jobs.add(job_of("public.a")), 5U);
}

TEST(SnapshotJobs, StandInTheStateRecord) {
  StateRecord record = record_with({.revision = 17, .watches_tables = true});
  record.jobs.queue.push_back(
      {.id = 16,
       .kind = JobKind::kAdded,
       .tables = {"public.a", "public.b"},
       .where = "name = 'x\"y'",
       .is_paused = true,
       .tables_done = 1,
       .place = {.leaf_done = 16402, .key_leaf = 16410, .key = {{"id", "-5", "23/0"}, {"name", "it's", "25/100"}}},
       .rows = 2000});
  EXPECT_EQ(decode_state_record(encode(record)), record);
}

TEST(SnapshotJobs, RefusesWhatIsNone) {
  StateRecord record = record_with({.revision = 17});
  record.jobs.queue.push_back({.id = 16, .tables = {"public.a"}, .where = {}});
  const std::string good = encode(record);
  const auto with = [&good](std::string_view from, std::string_view to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  EXPECT_TRUE(decode_state_record(good));
  for (const std::string& bad : {with(R"("revision":17)", R"("revision":-17)"), with(R"(["public.a"])", "[]"),
                                 with(R"(["public.a"])", "[7]"), with(R"("tables_done":0)", R"("tables_done":1)"),
                                 with(R"("rows":0)", R"("rows":0.5)"), with(R"("key":[])", R"("key":[["a"]])")}) {
    EXPECT_FALSE(decode_state_record(bad)) << bad;
  }
}

// The table is begun anew then: what it was sorted by is not known.
TEST(SnapshotJobs, TakeAPlaceOfARecordThatDoesNotSayItsOrder) {
  StateRecord record = record_with({.revision = 17});
  record.jobs.queue.push_back({.id = 16, .tables = {"public.a"}, .where = {}, .place = {.key = {{"id", "-5", "23/0"}}}});
  std::string text = encode(record);
  const std::string_view order = R"(,"23/0")";
  text.erase(text.find(order), order.size());
  record.jobs.queue[0].place.key[0].order = "";
  EXPECT_EQ(decode_state_record(text), record);
}

TEST(SnapshotJobs, ForgetAPlaceThatTheRecordCannotHold) {
  StateRecord record = record_with({.revision = 17});
  record.jobs.queue.push_back(
      {.id = 16,
       .tables = {"public.a"},
       .where = {},
       .place = {.leaf_done = 7, .key_leaf = 8, .key = {{"id", "1", "23/0"}, {"name", "caf\xE9", "25/0"}}}});
  const std::string text = encode(record);
  record.jobs.queue[0].place.key.clear();
  EXPECT_EQ(decode_state_record(text), record);
}

TEST(StateHistory, TakesTheRecordWithTheNewerJobs) {
  StateHistory history("p");
  StateRecord older = record_with({.revision = 1});
  older.jobs.queue.push_back({.id = 1, .tables = {"public.a"}, .where = {}});
  const StateRecord newer = record_with({.revision = 2});
  ASSERT_TRUE(history.take("p/0000000000000002", encode(older)));
  ASSERT_TRUE(history.take("p/0000000000000001", encode(newer)));
  EXPECT_EQ(history.newest(), newer);
}

TEST(JobRequest, IsTakenAsItIsMade) {
  const JobRequest request{.tables = {"public.a", "public.\"b\""}, .where = "id > 5"};
  const auto parsed = parse_job_request(to_text(request));
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->tables, request.tables);
  EXPECT_EQ(parsed->where, request.where);
}

TEST(JobRequest, RefusesWhatIsNone) {
  for (const std::string_view bad : {"", "[]", "{}", R"({"tables":[]})", R"({"tables":"public.a"})", R"({"tables":[1]})",
                                     R"({"tables":["public.a"],"where":1})", R"({"tables":["public.a"],"wehre":"x"})"}) {
    EXPECT_FALSE(parse_job_request(bad)) << bad;
  }
}

TEST(NextChunkRows, AimsAtFiftyMilliseconds) {
  EXPECT_EQ(next_chunk_rows(2000, 50'000, 100), 2000U);
  EXPECT_EQ(next_chunk_rows(2000, 25'000, 100), 4000U);
  EXPECT_EQ(next_chunk_rows(2000, 100'000, 100), 1000U);
}

TEST(NextChunkRows, ChangesByTwoAtMostAndStaysWithinItsBounds) {
  EXPECT_EQ(next_chunk_rows(2000, 0, 100), 4000U);
  EXPECT_EQ(next_chunk_rows(2000, 10'000'000, 100), 1000U);
  EXPECT_EQ(next_chunk_rows(40'000, 1, 100), 50'000U);
  EXPECT_EQ(next_chunk_rows(500, 10'000'000, 100), 500U);
}

TEST(NextChunkRows, WideRowsAreReadInSmallChunks) {
  EXPECT_EQ(next_chunk_rows(2000, 50'000, 8192), 1024U);
  EXPECT_EQ(next_chunk_rows(2000, 50'000, 100'000'000), 1U);
  EXPECT_EQ(next_chunk_rows(1, 50'000, 100), 500U);
}

}  // namespace
}  // namespace outboxx
