#include "postgres/table_checks.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "model/relation.h"
#include "model/stream.h"
#include "postgres/preflight.h"
#include "postgres/publication.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

constexpr PublishedOperations kNotYet{.already = false, .updates = true, .deletes = true};
constexpr PublishedOperations kInsertsOnly{.already = true, .updates = false, .deletes = false};

IdentityState identity(const std::string& table, ReplicaIdentity kind, std::vector<std::string> columns) {
  return {.schema = "public", .table = table, .kind = kind, .columns = std::move(columns)};
}

TableState orders() {
  TableState table;
  table.schema = "public";
  table.table = "orders";
  table.asking_role = "cdc";
  table.is_readable = true;
  table.columns = {{.name = "id"}, {.name = "customer_id"}, {.name = "total", .is_generated = true}};
  table.identity = identity("orders", ReplicaIdentity::kDefault, {"id"});
  return table;
}

TableState partitioned_orders() {
  TableState table = orders();
  table.kind = 'p';
  table.leaves = {identity("orders_1", ReplicaIdentity::kDefault, {"id"}),
                  identity("orders_2", ReplicaIdentity::kDefault, {"id"})};
  return table;
}

StreamConfig stream(OperationSet operations, std::string routing_key) {
  return {.name = "s",
          .schema = "public",
          .table = "orders",
          .operations = operations,
          .topic = "t",
          .routing_key = std::move(routing_key)};
}
constexpr OperationSet kDelete{.insert = true, .update = true, .remove = true, .read = false};
constexpr OperationSet kInsert{.insert = true, .update = false, .remove = false, .read = false};
constexpr OperationSet kRead{.insert = false, .update = false, .remove = false, .read = true};

// The one check that did not pass, as "message | hint"; empty if all passed.
std::string problem(const std::vector<Check>& checks) {
  std::string found;
  for (const Check& check : checks) {
    if (check.status != Check::Status::kPassed) {
      found += check.message + " | " + check.hint;
    }
  }
  return found;
}

TEST(CheckTable, AcceptsATableWithAPrimaryKey) {
  EXPECT_EQ(problem(check_table(orders(), kNotYet)), "");
}

// Publishing UPDATE or DELETE of such a table makes the application's statements fail.
TEST(CheckTable, RefusesATableWithoutUsableIdentityIfUpdatesArePublished) {
  TableState table = orders();
  table.identity.columns.clear();
  EXPECT_EQ(problem(check_table(table, kNotYet)),
            "table \"public.orders\" has no usable replica identity (it has no primary key, or only a deferrable one): the "
            "server would refuse UPDATE and DELETE on it once it is published | Add a primary key, or run: ALTER TABLE "
            "\"public\".\"orders\" REPLICA IDENTITY FULL;");
  EXPECT_EQ(problem(check_table(table, kInsertsOnly)), "");
  table.identity.kind = ReplicaIdentity::kFull;
  EXPECT_EQ(problem(check_table(table, kNotYet)), "");
}

TEST(CheckTable, QuotesHostileNames) {
  TableState table = orders();
  table.identity = identity("o\"; drop table x", ReplicaIdentity::kNothing, {});
  table.table = table.identity.table;
  EXPECT_TRUE(
      problem(check_table(table, kNotYet)).contains("ALTER TABLE \"public\".\"o\"\"; drop table x\" REPLICA IDENTITY FULL;"));
}

TEST(CheckTable, LooksAtTheIdentityOfEveryPartition) {
  TableState table = partitioned_orders();
  EXPECT_EQ(problem(check_table(table, kNotYet)), "");
  table.leaves[1].columns.clear();
  EXPECT_TRUE(problem(check_table(table, kNotYet)).starts_with("table \"public.orders_2\" has no usable replica identity"));
  table = partitioned_orders();
  table.identity.kind = ReplicaIdentity::kFull;
  EXPECT_TRUE(problem(check_table(table, kNotYet)).contains("its partition \"public.orders_1\" has not"));
}

TEST(CheckTable, RefusesWhatHasNoChangesInTheWal) {
  TableState table = orders();
  table.kind = 'v';
  EXPECT_TRUE(problem(check_table(table, kNotYet)).starts_with("cannot stream \"public.orders\": it is a view"));
  table = orders();
  table.persistence = 'u';
  EXPECT_EQ(problem(check_table(table, kNotYet)),
            "cannot stream \"public.orders\": it is an unlogged table, whose changes are not in the WAL | Run: ALTER TABLE "
            "\"public\".\"orders\" SET LOGGED;");
}

TEST(CheckStream, WantsTheRoutingKeyAmongTheColumns) {
  EXPECT_EQ(problem(check_stream(stream(kDelete, "id"), orders(), nullptr)), "");
  EXPECT_EQ(problem(check_stream(stream(kInsert, "Id"), orders(), nullptr)),
            "table \"public.orders\" has no column \"Id\", the routing_key of stream \"s\" | Its columns are: id, customer_id, "
            "total. Set routing_key in [streams.sink].");
}

TEST(CheckStream, AcceptsAGeneratedRoutingKeyOnlyIfItIsPublished) {
  const StreamConfig generated = stream(kInsert, "total");
  EXPECT_TRUE(problem(check_stream(generated, orders(), nullptr)).contains("is a generated column, which is not published"));
  const PublishedTable published{.schema = "public", .table = "orders", .columns = {"id", "customer_id", "total"}};
  EXPECT_EQ(problem(check_stream(generated, orders(), &published)), "");
}

TEST(CheckStream, WantsTheRoutingKeyInDeletedRows) {
  EXPECT_EQ(problem(check_stream(stream(kInsert, "customer_id"), orders(), nullptr)), "");
  EXPECT_EQ(
      problem(check_stream(stream(kDelete, "customer_id"), orders(), nullptr)),
      "stream \"s\" asks for delete, but deleted rows of table \"public.orders\" come without its routing_key "
      "\"customer_id\": the replica identity has only id | Run: ALTER TABLE \"public\".\"orders\" REPLICA IDENTITY FULL; Or "
      "set routing_key in [streams.sink] to one of: id.");
  TableState table = orders();
  table.identity.kind = ReplicaIdentity::kFull;
  EXPECT_EQ(problem(check_stream(stream(kDelete, "customer_id"), table, nullptr)), "");
}

TEST(CheckStream, WantsToUseTheSchemasOfTheTypesForASnapshot) {
  TableState table = orders();
  table.closed_schemas = {{.schema = "ext", .column = "customer_id"},
                          {.schema = "ext", .column = "id"},
                          {.schema = "ext", .column = "total"},
                          {.schema = "gis", .column = "id"}};
  EXPECT_EQ(problem(check_stream(stream(kInsert, "id"), table, nullptr)), "");
  EXPECT_EQ(problem(check_stream(stream(kRead, "id"), table, nullptr)),
            "stream \"s\" asks for read, but we may not use schema \"ext\", which has the types of columns customer_id, id of "
            "table \"public.orders\" | As the owner of the schema, run: GRANT USAGE ON SCHEMA \"ext\" TO \"cdc\";"
            "stream \"s\" asks for read, but we may not use schema \"gis\", which has the types of columns id of "
            "table \"public.orders\" | As the owner of the schema, run: GRANT USAGE ON SCHEMA \"gis\" TO \"cdc\";");
  table.closed_schemas = {{.schema = "ext", .column = "customer_id"}, {.schema = "ext", .column = "total"}};
  const PublishedTable narrow{.schema = "public", .table = "orders", .columns = {"id"}};
  EXPECT_EQ(problem(check_stream(stream(kRead, "id"), table, &narrow)), "");
  const PublishedTable wide{.schema = "public", .table = "orders", .columns = {"id", "total"}};
  EXPECT_TRUE(problem(check_stream(stream(kRead, "id"), table, &wide)).contains("the types of columns total of table"));
}

// The key of a deleted row is named by the table, and its values are those that the partition wrote.
TEST(CheckStream, WantsTheKeyOfAPartitionedTableInDeletedRowsOfEachPartition) {
  TableState table = partitioned_orders();
  table.identity = identity("orders", ReplicaIdentity::kIndex, {"id", "customer_id"});
  table.leaves[0].columns = {"id", "customer_id"};
  EXPECT_EQ(
      problem(check_stream(stream(kDelete, "id"), table, nullptr)),
      "stream \"s\" asks for delete, and the replica identity of table \"public.orders\" has id, customer_id, but that of its "
      "partition \"public.orders_2\" lacks customer_id: deleted rows would arrive with nulls for columns that are not null | "
      "Run: ALTER TABLE \"public\".\"orders_2\" REPLICA IDENTITY FULL; Or choose an index on the columns of the table's "
      "replica identity for each partition with REPLICA IDENTITY USING INDEX.");
  EXPECT_EQ(problem(check_stream(stream(kInsert, "id"), table, nullptr)), "");
  table.leaves[1] = identity("orders_2", ReplicaIdentity::kFull, {});
  EXPECT_EQ(problem(check_stream(stream(kDelete, "id"), table, nullptr)), "");
  table.leaves[1] = identity("orders_2", ReplicaIdentity::kDefault, {"total", "customer_id", "id"});
  EXPECT_EQ(problem(check_stream(stream(kDelete, "id"), table, nullptr)), "");
}

TEST(CheckStream, WantsAKeyOfAPartitionedTableEvenIfItsPartitionsHaveOne) {
  TableState table = partitioned_orders();
  table.identity.columns.clear();
  EXPECT_EQ(problem(check_table(table, kNotYet)), "");
  EXPECT_EQ(problem(check_stream(stream(kDelete, "id"), table, nullptr)),
            "stream \"s\" asks for delete, but table \"public.orders\" has no usable replica identity (it has no primary key, "
            "or only a deferrable one): deleted rows come without a key, whatever the identity of their partition | Add a "
            "primary key, or run: ALTER TABLE \"public\".\"orders\" REPLICA IDENTITY FULL; ALTER TABLE "
            "\"public\".\"orders_1\" REPLICA IDENTITY FULL; ALTER TABLE \"public\".\"orders_2\" REPLICA IDENTITY FULL;");
  EXPECT_EQ(problem(check_stream(stream(kInsert, "id"), table, nullptr)), "");
}

TEST(CheckStream, WantsToReadEachPartitionForASnapshot) {
  TableState table = partitioned_orders();
  table.has_row_security = true;  // policies of its own do not count: it is not what is read
  EXPECT_EQ(problem(check_stream(stream(kRead, "id"), table, nullptr)), "");
  const auto problem_of = [&table](const LeafState& leaf) {
    table.odd_leaves = {leaf};
    EXPECT_EQ(problem(check_stream(stream(kInsert, "id"), table, nullptr)), "");
    return problem(check_stream(stream(kRead, "id"), table, nullptr));
  };
  EXPECT_EQ(problem_of({.schema = "old", .table = "orders_1", .is_readable = false}),
            "stream \"s\" asks for read, but we may not SELECT from \"old.orders_1\", a partition of table \"public.orders\" | "
            "As the owner, run: GRANT USAGE ON SCHEMA \"old\" TO \"cdc\"; GRANT SELECT ON \"old\".\"orders_1\" TO \"cdc\";");
  EXPECT_EQ(
      problem_of({.schema = "old", .table = "orders_1", .has_row_security = true}),
      "row security is active on table \"old.orders_1\": a snapshot reads only the rows that its policies show | Decoding "
      "does not know row security. To read all rows, give the role BYPASSRLS.");
  EXPECT_EQ(
      problem_of({.schema = "old", .table = "orders_1", .kind = 'f'}),
      "stream \"s\" asks for read, but partition \"old.orders_1\" of table \"public.orders\" is a foreign table: its "
      "changes are not in the WAL of this server | Detach the partition, or remove \"read\" from the stream's operations.");
  EXPECT_EQ(problem_of({.schema = "old", .table = "orders_1", .persistence = 'u'}),
            "partition \"old.orders_1\" of table \"public.orders\" is unlogged: its rows are neither read by a snapshot nor "
            "streamed | Run: ALTER TABLE \"old\".\"orders_1\" SET LOGGED;");
}

TEST(CheckStream, WantsTheRightToReadForASnapshotOnly) {
  TableState table = orders();
  table.is_readable = false;
  EXPECT_EQ(problem(check_stream(stream(kDelete, "id"), table, nullptr)), "");
  EXPECT_EQ(
      problem(check_stream(stream(kRead, "id"), table, nullptr)),
      "stream \"s\" asks for read, but we may not SELECT from table \"public.orders\" | As the owner, run: GRANT USAGE ON "
      "SCHEMA \"public\" TO \"cdc\"; GRANT SELECT ON \"public\".\"orders\" TO \"cdc\";");
}

TEST(CheckMissingTable, ShowsSimilarNames) {
  const std::vector<std::string> similar{"public.Orders", "sales.orders"};
  EXPECT_EQ(problem({check_missing_table(stream(kInsert, "id"), similar)}),
            "table \"public.orders\" of stream \"s\" does not exist | Names are case-sensitive here. Similar tables are: "
            "public.Orders, sales.orders. Set resource in [streams.source].");
}

}  // namespace
}  // namespace outboxx
