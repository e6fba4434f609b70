#include "router.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace outboxx {
namespace {

StreamConfig stream(const char* schema, const char* table, OperationSet operations) {
  StreamConfig config;
  config.schema = schema;
  config.table = table;
  config.operations = operations;
  return config;
}

Relation relation(std::uint64_t version, std::uint32_t oid, const char* schema, const char* name) {
  Relation relation;
  relation.version = version;
  relation.oid = oid;
  relation.schema = schema;
  relation.name = name;
  return relation;
}

class RouterTest : public testing::Test {
 protected:
  std::vector<std::size_t> route(const Relation& described, Operation operation) {
    const auto routes = router.route(described, operation);
    return {routes.begin(), routes.end()};
  }

  std::vector<StreamConfig> streams = {
      stream("public", "orders", {.insert = true, .update = true}),
      stream("public", "customers", {.insert = true}),
      stream("public", "orders", {.insert = true, .remove = true}),
      stream("sales", "orders", {.insert = true}),
  };
  Router router{streams};
};

TEST_F(RouterTest, SendsAChangeToEveryStreamOfTheTableThatWantsTheOperation) {
  const Relation orders = relation(1, 10, "public", "orders");
  EXPECT_EQ(route(orders, Operation::kInsert), (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(route(orders, Operation::kUpdate), (std::vector<std::size_t>{0}));
  EXPECT_EQ(route(orders, Operation::kDelete), (std::vector<std::size_t>{2}));
}

TEST_F(RouterTest, TellsSchemasApart) {
  EXPECT_EQ(route(relation(1, 11, "sales", "orders"), Operation::kInsert), (std::vector<std::size_t>{3}));
}

TEST_F(RouterTest, KnowsNoStreamForOtherTables) {
  EXPECT_EQ(route(relation(1, 12, "public", "Orders"), Operation::kInsert), (std::vector<std::size_t>{}));
}

TEST_F(RouterTest, FollowsARenamedTable) {
  EXPECT_EQ(route(relation(1, 10, "public", "orders"), Operation::kUpdate), (std::vector<std::size_t>{0}));
  EXPECT_EQ(route(relation(2, 10, "public", "orders_old"), Operation::kUpdate), (std::vector<std::size_t>{}));
  EXPECT_EQ(route(relation(3, 10, "public", "customers"), Operation::kInsert), (std::vector<std::size_t>{1}));
}

}  // namespace
}  // namespace outboxx
