#include "postgres/table_watch.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/stream.h"

namespace outboxx {
namespace {

constexpr OperationSet kAll{.insert = true, .update = true, .remove = true};
constexpr OperationSet kInsert{.insert = true};

WatchedTable orders(std::uint32_t oid, OperationSet published, std::string former_name = "shop.orders") {
  return {.schema = "shop", .table = "orders", .oid = oid, .published = published, .former_name = std::move(former_name)};
}

std::string message(const Result<>& result) {
  EXPECT_TRUE(result || result.error().code == ErrorCode::kPostgresUnreachable);  // is tried again
  return result ? "" : result.error().message;
}

std::string change(const WatchedTable& before, const WatchedTable& now) {
  TableWatch watch("pub", {before});
  return message(watch.compare(std::vector{now}));
}

TEST(TableWatch, IsSilentWhileNothingIsLost) {
  EXPECT_EQ(change(orders(1, kAll), orders(1, kAll)), "");
  EXPECT_EQ(change(orders(1, kInsert), orders(1, kAll)), "");
}

TEST(TableWatch, TellsATableThatTookTheName) {
  EXPECT_EQ(change(orders(1, kAll), orders(2, {}, "shop.orders_old")),
            "table \"shop.orders\" was replaced by another one and is \"shop.orders_old\" now");
  EXPECT_EQ(change(orders(1, kAll), orders(2, kAll, "")), "table \"shop.orders\" was dropped and created again");
  EXPECT_EQ(change(orders(1, kAll), orders(0, {}, "old.orders")), "table \"shop.orders\" was renamed to \"old.orders\"");
}

TEST(TableWatch, TellsWhatThePublicationLost) {
  EXPECT_EQ(change(orders(1, kAll), orders(1, {})), "publication \"pub\" does not publish table \"shop.orders\" any more");
  EXPECT_EQ(change(orders(1, kAll), orders(1, kInsert)),
            "publication \"pub\" does not publish update, delete of table \"shop.orders\" any more");
}

// To end the session would end the others' streams: preflight refuses a table that does not exist.
TEST(TableWatch, WaitsForATableThatWasDroppedToComeAgain) {
  TableWatch watch("pub", {orders(1, kAll)});
  EXPECT_EQ(message(watch.compare(std::vector{orders(0, {}, "")})), "");
  EXPECT_EQ(message(watch.compare(std::vector{orders(0, {}, "")})), "");
  EXPECT_EQ(message(watch.compare(std::vector{orders(2, {}, "")})), "table \"shop.orders\" was dropped and created again");
}

}  // namespace
}  // namespace outboxx
