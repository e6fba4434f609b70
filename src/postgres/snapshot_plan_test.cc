#include "postgres/snapshot_plan.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "model/relation.h"
#include "model/snapshot_state.h"
#include "postgres/publication.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

// The text of regclass depends on it, and on nothing else of a connection's.
const std::string kPath = "SELECT pg_catalog.set_config('search_path', '\"$user\", public', true); ";

SnapshotTable orders() {
  SnapshotTable table;
  table.oid = 16402;
  table.quoted_name = "\"public\".\"orders\"";
  table.search_path = "'\"$user\", public'";
  table.relation = {.oid = 16402, .schema = "public", .name = "orders", .columns = {{.name = "id"}, {.name = "state"}}};
  table.expressions = {"\"id\"", "pg_catalog.textin(\"pg_catalog\".\"enum_out\"(\"state\"))"};
  return table;
}

TEST(CopyStatement, ReadsAWholeTable) {
  EXPECT_EQ(
      copy_statement(orders(), {}),
      kPath +
          "COPY (SELECT \"id\", pg_catalog.textin(\"pg_catalog\".\"enum_out\"(\"state\")) FROM ONLY \"public\".\"orders\") TO "
          "STDOUT (FORMAT binary)");
}

TEST(CopyStatement, ReadsARangeOfBlocks) {
  SnapshotTable table = orders();
  table.expressions = {"\"id\""};
  EXPECT_EQ(
      copy_statement(table, {0, 128}),
      kPath +
          "COPY (SELECT \"id\" FROM ONLY \"public\".\"orders\" WHERE ctid OPERATOR(pg_catalog.<) '(128,0)'::pg_catalog.tid) TO "
          "STDOUT (FORMAT binary)");
  EXPECT_EQ(
      copy_statement(table, {128, 4294967294}),
      kPath +
          "COPY (SELECT \"id\" FROM ONLY \"public\".\"orders\" WHERE ctid OPERATOR(pg_catalog.>=) '(128,0)'::pg_catalog.tid "
          "AND ctid OPERATOR(pg_catalog.<) '(4294967294,0)'::pg_catalog.tid) TO STDOUT (FORMAT binary)");
  EXPECT_EQ(
      copy_statement(table, {128, BlockRange::kToTheEnd}),
      kPath +
          "COPY (SELECT \"id\" FROM ONLY \"public\".\"orders\" WHERE ctid OPERATOR(pg_catalog.>=) '(128,0)'::pg_catalog.tid) "
          "TO STDOUT (FORMAT binary)");
}

// In parentheses: the filter may have an OR.
TEST(CopyStatement, HasTheRowFilter) {
  SnapshotTable table = orders();
  table.expressions = {"\"id\""};
  table.row_filter = "(a OR b)";
  EXPECT_EQ(copy_statement(table, {}),
            kPath + "COPY (SELECT \"id\" FROM ONLY \"public\".\"orders\" WHERE ((a OR b))) TO STDOUT (FORMAT binary)");
  EXPECT_EQ(
      copy_moved_statement(table, {0, 7}, 741),
      kPath +
          "COPY (SELECT \"id\" FROM ONLY \"public\".\"orders\" WHERE ctid OPERATOR(pg_catalog.<) '(7,0)'::pg_catalog.tid AND "
          "pg_catalog.age(xmin) OPERATOR(pg_catalog.<=) pg_catalog.age('741'::pg_catalog.xid) AND ((a OR b))) TO STDOUT "
          "(FORMAT binary)");
}

TEST(CopyStatement, ReadsRowsWithoutColumns) {
  SnapshotTable table = orders();
  table.expressions.clear();
  EXPECT_EQ(copy_statement(table, {}), kPath + "COPY (SELECT  FROM ONLY \"public\".\"orders\") TO STDOUT (FORMAT binary)");
}

TEST(LockStatement, NamesAllThatIsRead) {
  SnapshotTable first = orders();
  first.relation = {.oid = 16390, .schema = "public", .name = "all \"orders\"", .columns = {}};
  SnapshotTable second = first;
  second.oid = 16403;
  second.quoted_name = "\"public\".\"orders 2\"";
  SnapshotTable third = orders();
  third.oid = third.relation.oid = 16500;
  third.quoted_name = "\"public\".\"customers\"";
  EXPECT_EQ(
      lock_statement(std::vector{first, second, third}),
      "LOCK TABLE ONLY \"public\".\"orders\", ONLY \"public\".\"orders 2\", ONLY \"public\".\"customers\" IN ACCESS SHARE "
      "MODE");
}

TEST(BlocksPerChunk, CountsTheToastTable) {
  SnapshotTable table = orders();
  table.blocks = 1000;
  table.bytes = 8'192'000;
  EXPECT_EQ(blocks_per_chunk(table, 1 << 20), 128U);
  table.bytes *= 100;
  EXPECT_EQ(blocks_per_chunk(table, 1 << 20), 1U);
  EXPECT_EQ(blocks_per_chunk(table, 8 << 20), 10U);
}

TEST(BlocksPerChunk, IsAtLeastOneAndNeverOverflows) {
  SnapshotTable table = orders();
  EXPECT_GE(blocks_per_chunk(table, 8 << 20), 1U);  // an empty table
  EXPECT_EQ(blocks_per_chunk(table, 0), 1U);
  table.blocks = 4'294'967'294;
  table.bytes = 1;
  EXPECT_EQ(blocks_per_chunk(table, UINT64_MAX), 2'147'483'647U);
}

class DescribeRelation : public testing::Test {
 protected:
  // "name type/modifier key", in order.
  [[nodiscard]] std::vector<std::string> columns(int server_version = 150000) const {
    std::vector<std::string> out;
    for (const Column& column : describe_relation(table, published, server_version).columns) {
      out.push_back(column.name + " " + std::to_string(column.type_oid) + "/" + std::to_string(column.type_modifier) +
                    (column.is_key ? " key" : ""));
    }
    return out;
  }
  using Columns = std::vector<std::string>;

  PublishedTable published{
      .schema = "shop", .table = "orders", .columns = {"id", "total", "name"}};  // 15 lists generated columns too
  TableState table = [] {
    TableState state;
    state.schema = "shop";
    state.table = "orders";
    state.oid = 16402;
    state.columns = {{.name = "id", .type_oid = 23},
                     {.name = "total", .is_generated = true, .type_oid = 1700, .type_modifier = 655366},
                     {.name = "name", .type_oid = 1043, .type_modifier = 24}};
    state.identity = {.schema = "shop", .table = "orders", .kind = ReplicaIdentity::kDefault, .columns = {"id"}};
    return state;
  }();
};

TEST_F(DescribeRelation, NamesTheTable) {
  const Relation relation = describe_relation(table, published, 150000);
  EXPECT_EQ(relation.oid, 16402U);
  EXPECT_EQ(relation.schema, "shop");
  EXPECT_EQ(relation.name, "orders");
  EXPECT_EQ(relation.replica_identity, ReplicaIdentity::kDefault);
}

TEST_F(DescribeRelation, LeavesGeneratedColumnsOut) {
  EXPECT_EQ(columns(), (Columns{"id 23/-1 key", "name 1043/24"}));
  published.columns.clear();  // 14 does not tell
  EXPECT_EQ(columns(140000), (Columns{"id 23/-1 key", "name 1043/24"}));
}

// publish_generated_columns = stored.
TEST_F(DescribeRelation, HasTheGeneratedColumnsThatPostgres18Publishes) {
  EXPECT_EQ(columns(180000), (Columns{"id 23/-1 key", "total 1700/655366", "name 1043/24"}));
  published.columns = {"id", "name"};
  EXPECT_EQ(columns(180000), (Columns{"id 23/-1 key", "name 1043/24"}));
}

TEST_F(DescribeRelation, FollowsTheColumnListInTheOrderOfTheTable) {
  published.has_column_list = true;
  published.columns = {"name", "id"};
  EXPECT_EQ(columns(), (Columns{"id 23/-1 key", "name 1043/24"}));
  published.columns = {"name"};
  EXPECT_EQ(columns(), (Columns{"name 1043/24"}));
}

TEST_F(DescribeRelation, MarksTheReplicaIdentity) {
  table.identity.kind = ReplicaIdentity::kFull;
  table.identity.columns.clear();
  EXPECT_EQ(columns(), (Columns{"id 23/-1 key", "name 1043/24 key"}));
  table.identity.kind = ReplicaIdentity::kNothing;
  EXPECT_EQ(columns(), (Columns{"id 23/-1", "name 1043/24"}));
  table.identity.kind = ReplicaIdentity::kIndex;
  table.identity.columns = {"name"};
  EXPECT_EQ(columns(), (Columns{"id 23/-1", "name 1043/24 key"}));
}

}  // namespace
}  // namespace outboxx
