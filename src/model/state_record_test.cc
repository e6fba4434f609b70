#include "model/state_record.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "model/snapshot_state.h"

namespace outboxx {
namespace {

constexpr std::string_view kOne = "0000000000000001";
constexpr std::string_view kTwo = "0000000000000002";

StateRecord record_at(std::uint64_t position) {
  return {.kind = StateKind::kProgress,
          .epoch = 1,
          .system_identifier = "7412345678901234567",
          .timeline = 3,
          .server_version = 150020,
          .database = "shop",
          .slot = "orders",
          .publication_oid = 16401,
          .progress = {.position = Lsn{position}, .open_commit = Lsn{}, .ordinal = 0}};
}

TEST(StateRecord, LooksAsDocumented) {
  EXPECT_EQ(
      encode(record_at(0x1'001A2B3C)),
      R"({"format":1,"kind":"progress","epoch":1,"system":"7412345678901234567","timeline":3,"server_version":150020,)"
      R"("database":"shop","slot":"orders","publication_oid":16401,"position":"1/1A2B3C","open_commit":"0/0","ordinal":0})");
  EXPECT_EQ(encode(GapMarker{.database = "shop", .slot = "orders", .from = Lsn{1}, .to = Lsn{2}, .reason = "slot \"lost\""}),
            R"({"format":1,"kind":"gap","database":"shop","slot":"orders","from":"0/1","to":"0/2","reason":"slot \"lost\""})");
}

TEST(StateRecord, IsReadAsWritten) {
  StateRecord record = record_at(0x100);
  record.database = "a \"b\"\n";
  record.progress.open_commit = Lsn{0x200};
  record.progress.ordinal = 17;
  EXPECT_EQ(decode_state_record(encode(record)), record);
  record.kind = StateKind::kIntent;
  EXPECT_EQ(decode_state_record(encode(record)), record);
}

TEST(StateRecord, RefusesWhatIsNotOne) {
  const auto refused = [](const std::string& text) {
    const auto record = decode_state_record(text);
    return record ? "accepted: " + text : record.error().message;
  };
  EXPECT_EQ(refused("hello"), "cannot read the state record: it is not a JSON object");
  EXPECT_EQ(refused("{}"), "cannot read the state record: \"format\" is missing or wrong");
  EXPECT_EQ(refused(R"({"format":2})"), "cannot read the state record: its format is 2, this version knows 1");
  const std::string good = encode(record_at(1));
  const auto with = [&good](std::string_view from, std::string_view to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  EXPECT_EQ(refused(with("progress", "dream")), "cannot read the state record: its kind is unknown");
  EXPECT_EQ(refused(with("\"0/1\"", "\"1\"")), "cannot read the state record: \"position\" is missing or wrong");
  EXPECT_EQ(refused(with(":3,", ":4294967296,")), "cannot read the state record: \"timeline\" is missing or wrong");
  EXPECT_EQ(refused(with("\"ordinal\":0", "\"ordinal\":\"0\"")),
            "cannot read the state record: \"ordinal\" is missing or wrong");
  EXPECT_EQ(decode_state_record("{}").error().code, ErrorCode::kState);
  EXPECT_EQ(refused(R"([{"format":1}])"), "cannot read the state record: it is not a JSON object");
  EXPECT_EQ(refused(good + "x"), "cannot read the state record: it is not a JSON object");
  EXPECT_EQ(refused(with("\"ordinal\"", "\"epoch\"")), "cannot read the state record: it is not a JSON object");  // twice
  EXPECT_EQ(refused(with(":3,", ":3.0,")), "cannot read the state record: \"timeline\" is missing or wrong");
  EXPECT_EQ(refused(with(":3,", ":-3,")), "cannot read the state record: \"timeline\" is missing or wrong");
  std::string large;
  large.resize(17'000'000, ' ');
  EXPECT_EQ(refused(large), "cannot read the state record: it is too large");
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_state_record(std::string(good, 0, size))) << size;
  }
}

// Written before there were snapshots.
TEST(StateRecord, IsReadWithBytesThatAreNotUtf8) {
  std::string text = encode(record_at(1));
  text.replace(text.find("shop"), 4, "sh\xF6p");
  const auto record = decode_state_record(text);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->database, storable("sh\xF6p"));
  EXPECT_EQ(encode(*record), encode(*decode_state_record(encode(*record))));
  EXPECT_EQ(storable("gr\xC3\xB6\xC3\x9F\x65r \"\\\n"), "gr\xC3\xB6\xC3\x9F\x65r \"\\\n");
}

StateRecord record_with_snapshot() {
  StateRecord record = record_at(0x100);
  record.snapshot = {
      .is_pending = true,
      .xmin = 740,
      .tables = {{.oid = 16402, .done = {}, .is_done = true},
                 {.oid = 16410, .file_node = 4294967295, .xmin = 741, .next_block = 5, .done = {{7, 9}, {11, 4294967295}}},
                 {.oid = 16420, .file_node = 16421, .xmin = 742, .next_block = 0, .done = {}},
                 {.oid = 16430, .done = {}, .is_done = true}}};
  return record;
}

TEST(StateRecord, HasTheSnapshotWhileOneIsUnderWay) {
  const StateRecord record = record_with_snapshot();
  const std::string without = encode(record_at(0x100));
  EXPECT_EQ(encode(record),
            without.substr(0, without.size() - 1) +
                R"(,"snapshot":{"pending":true,"xmin":740,"finished":[16402,16430],"begun":[)"
                R"({"oid":16410,"file_node":4294967295,"xmin":741,"next_block":5,"done":[[7,9],[11,4294967295]]},)"
                R"({"oid":16420,"file_node":16421,"xmin":742,"next_block":0,"done":[]}]}})");
  EXPECT_EQ(decode_state_record(encode(record)), record);
  StateRecord pending = record_at(0x100);
  pending.snapshot.is_pending = true;
  EXPECT_EQ(decode_state_record(encode(pending)), pending);
  EXPECT_EQ(decode_state_record(without)->snapshot, SnapshotState{});
  std::string first = encode(record);  // as it was first
  first.replace(first.find(R"("xmin":740,)"), 11, "");
  EXPECT_EQ(decode_state_record(first)->snapshot.tables, record.snapshot.tables);
  EXPECT_EQ(decode_state_record(first)->snapshot.xmin, 0);
}

TEST(StateRecord, RefusesASnapshotThatIsNotOne) {
  const std::string good = encode(record_with_snapshot());
  const auto is_refused = [&good](std::string_view from, std::string_view to) {
    std::string text = good;
    const auto record = decode_state_record(text.replace(text.find(from), from.size(), to));
    return !record && record.error().message == "cannot read the state record: \"snapshot\" is missing or wrong";
  };
  EXPECT_FALSE(is_refused("[7,9]", "[7,10]"));
  EXPECT_TRUE(is_refused("[7,9]", "[9,7]"));
  EXPECT_TRUE(is_refused("[7,9]", "[7,7]"));
  EXPECT_TRUE(is_refused("[7,9]", "[7,9,10]"));
  EXPECT_TRUE(is_refused("[7,9]", "7"));
  EXPECT_TRUE(is_refused("[7,9]", "[-7,9]"));
  EXPECT_TRUE(is_refused("[11,4294967295]", "[11,4294967296]"));
  EXPECT_TRUE(is_refused("[16402,", "[\"16402\","));
  EXPECT_TRUE(is_refused("[16402,", "[16410,"));  // twice
  EXPECT_TRUE(is_refused("\"xmin\":741", "\"xmin\":\"741\""));
  EXPECT_TRUE(is_refused("\"next_block\":5", "\"next_block\":4294967295"));
  EXPECT_TRUE(is_refused("\"pending\":true", "\"pending\":1"));
  EXPECT_TRUE(is_refused("\"begun\"", "\"began\""));
}

// What a pipeline of thousands of tables writes with each Kafka transaction.
TEST(StateRecord, IsSmallForManyFinishedTables) {
  StateRecord record = record_at(0x100);
  for (std::uint32_t oid = 100'000; oid < 110'000; ++oid) {
    record.snapshot.tables.push_back({.oid = oid, .done = {}, .is_done = true});
  }
  EXPECT_LT(encode(record).size(), 71'000U);
  EXPECT_EQ(decode_state_record(encode(record)), record);
}

class StateHistoryTest : public ::testing::Test {
 protected:
  void take(std::string_view instance, const StateRecord& record) {
    ASSERT_TRUE(history_.take(state_key("shop.orders", instance), encode(record)));
  }
  Lsn newest() { return history_.newest().value_or(StateRecord{}).progress.position; }

  StateHistory history_{"shop.orders"};
};

TEST_F(StateHistoryTest, IsEmptyWithoutRecords) {
  EXPECT_FALSE(history_.newest());
}

TEST_F(StateHistoryTest, TakesTheFurthestWhateverCameLast) {
  take(kOne, record_at(0x100));
  take(kTwo, record_at(0x300));
  take(kOne, record_at(0x200));  // a process that was frozen, and wrote after its successor
  EXPECT_EQ(newest(), Lsn{0x300});
}

TEST_F(StateHistoryTest, TakesTheLastOfOneProcess) {
  take(kOne, record_at(0x100));
  take(kOne, record_at(0x200));
  EXPECT_EQ(newest(), Lsn{0x200});
}

TEST_F(StateHistoryTest, ANewEpochCountsEvenIfItIsBehind) {
  take(kOne, record_at(0x300));
  StateRecord accepted = record_at(0x100);
  accepted.epoch = 2;
  take(kTwo, accepted);
  EXPECT_EQ(newest(), Lsn{0x100});
}

TEST_F(StateHistoryTest, ProgressCountsMoreThanIntent) {
  StateRecord intent = record_at(0);
  intent.kind = StateKind::kIntent;
  take(kOne, record_at(0));
  take(kTwo, intent);
  EXPECT_EQ(history_.newest()->kind, StateKind::kProgress);
}

TEST_F(StateHistoryTest, OfOneSplitTransactionTheHighestOrdinalCounts) {
  StateRecord split = record_at(0x100);
  split.progress.open_commit = Lsn{0x180};
  split.progress.ordinal = 10;
  take(kOne, record_at(0x100));
  take(kOne, split);
  EXPECT_EQ(history_.newest()->progress, split.progress);
}

TEST_F(StateHistoryTest, OfOneSnapshotTheOneWithMoreCounts) {
  std::vector<StateRecord> records(5, record_at(0x100));
  for (std::size_t i = 0; i < 4; ++i) {
    records[i].snapshot.is_pending = true;
  }
  records[1].snapshot.tables = {{.oid = 1, .next_block = 100, .done = {}}};
  records[2].snapshot.tables = {{.oid = 1, .next_block = 50, .done = {{100, 200}}}};
  records[3].snapshot.tables = {{.oid = 1, .done = {}, .is_done = true}};
  for (std::size_t i = 1; i < records.size(); ++i) {
    for (const bool is_first : {true, false}) {
      take(kOne, records[is_first ? i : i - 1]);
      take(kTwo, records[is_first ? i - 1 : i]);
      EXPECT_EQ(history_.newest(), records[i]) << i;
    }
  }
}

TEST_F(StateHistoryTest, TombstonesRemove) {
  take(kOne, record_at(0x100));
  ASSERT_TRUE(history_.take(state_key("shop.orders", kOne), ""));
  EXPECT_FALSE(history_.newest());
}

TEST_F(StateHistoryTest, OutdatedIsWhatTheSlotHasPassedButNeverTheNewest) {
  take(kOne, record_at(0x100));
  take(kTwo, record_at(0x200));
  EXPECT_EQ(history_.outdated(Lsn{0x100}), std::vector<std::string>{});
  EXPECT_EQ(history_.outdated(Lsn{0x300}), std::vector<std::string>{state_key("shop.orders", kOne)});
}

TEST_F(StateHistoryTest, PassesOverWhatIsNotItsOwn) {
  for (const std::string& key : {state_key("shop.order", kOne), state_key("shop.orders.old", kOne), std::string("shop.orders"),
                                 gap_key("shop.orders", Lsn{1}), state_key("shop.orders", "000000000000000X")}) {
    EXPECT_TRUE(history_.take(key, "garbage")) << key;
  }
  EXPECT_FALSE(history_.newest());
}

TEST_F(StateHistoryTest, RefusesGarbageUnderItsKey) {
  EXPECT_FALSE(history_.take(state_key("shop.orders", kOne), "garbage"));
}

}  // namespace
}  // namespace outboxx
