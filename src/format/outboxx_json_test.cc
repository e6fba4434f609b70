#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "format/format_test_support.h"
#include "model/change.h"
#include "model/relation.h"

namespace outboxx::format_test {
namespace {

std::string with_meta(const std::string& head, const std::string& resource = "public.orders", int timestamp = 1,
                      const std::string& lsn = "0/1A2B") {
  return head + R"(,"meta":{"source":"postgres","resource":")" + resource + R"(","timestamp":)" + std::to_string(timestamp) +
         R"(,"lsn":")" + lsn + R"("}})";
}

// The replica identity is the id.
std::vector<Column> order_columns() {
  return {column("id", kInt4, kKey), column("customer_id", kInt8), column("note", kText)};
}

Table orders(std::string routing_key = "id") {
  return Table(relation("public", "orders", order_columns()), std::move(routing_key));
}

void expect_message(const Result<Message>& message, const std::string& key, const std::string& value) {
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->key, key);
  EXPECT_EQ(message->value, value);
}

void expect_error(const Result<Message>& message, ErrorCode code, const std::string& text) {
  ASSERT_FALSE(message) << message->value;
  EXPECT_EQ(message.error().code, code);
  EXPECT_EQ(message.error().message, text);
}

TEST(OutboxxJson, DeleteWithTheKeyAloneTellsNoOtherColumn) {
  Table table = orders();
  expect_message(table.remove({{text("7"), kNull, kNull}, OldRowKind::kKey}), "7",
                 with_meta(R"({"op":"DELETE","data":{"id":7})"));
}

TEST(OutboxxJson, DeleteWithAKeyThatIsNotTheFirstColumn) {
  Table table(relation("public", "orders",
                       {column("note", kText), column("a", kInt4, kKey), column("x", kInt4), column("b", kText, kKey)}),
              "b");
  expect_message(table.remove({{kNull, text("7"), kNull, text("k")}, OldRowKind::kKey}), "k",
                 with_meta(R"({"op":"DELETE","data":{"a":7,"b":"k"})"));
}

TEST(OutboxxJson, DeleteWithTheWholeRowTellsItsNulls) {
  Table table = orders("customer_id");
  expect_message(table.remove({{text("7"), text("8"), kNull}}), "8",
                 with_meta(R"({"op":"DELETE","data":{"id":7,"customer_id":8,"note":null})"));
}

TEST(OutboxxJson, UpdateTellsTheNewRowAlone) {
  Table table = orders();
  expect_message(table.update({text("2"), text("3"), text("new")}, {{text("1"), kNull, kNull}, OldRowKind::kKey}), "2",
                 with_meta(R"({"op":"UPDATE","data":{"id":2,"customer_id":3,"note":"new"})"));
}

TEST(OutboxxJson, ReadIsAnOperationLikeInsert) {
  Table table = orders();
  expect_message(table.read({text("2"), kNull, kNull}), "2",
                 with_meta(R"({"op":"READ","data":{"id":2,"customer_id":null,"note":null})"));
}

TEST(OutboxxJson, UnchangedRoutingColumnComesFromTheOldRow) {
  Table full = orders("note");
  expect_message(full.update({text("1"), kNull, kUnchanged}, {{text("1"), kNull, text("long")}}), "long",
                 with_meta(R"({"op":"UPDATE","data":{"id":1,"customer_id":null,"note":"__outboxx_unknown_value__"})"));
  Table by_key(relation("public", "orders", {column("id", kInt4), column("note", kText, kKey)}), "note");
  expect_message(by_key.update({text("1"), kUnchanged}, {{kNull, text("long")}, OldRowKind::kKey}), "long",
                 with_meta(R"({"op":"UPDATE","data":{"id":1,"note":"__outboxx_unknown_value__"})"));
}

TEST(OutboxxJson, UnchangedRoutingColumnThatTheOldRowLacksIsAnError) {
  const std::string message = R"(could not route UPDATE on "public.orders" at LSN 0/1A2B: routing column "note" was not sent, )"
                              "because its TOASTed value did not change";
  Table table = orders("note");
  expect_error(table.update({text("1"), kNull, kUnchanged}), ErrorCode::kPostgresMisconfigured, message);
  expect_error(table.update({text("2"), kNull, kUnchanged}, {{text("1"), kNull, kNull}, OldRowKind::kKey}),
               ErrorCode::kPostgresMisconfigured, message);
  expect_error(table.update({text("2"), kNull, kUnchanged}, {{text("1"), kNull, kUnchanged}}),
               ErrorCode::kPostgresMisconfigured, message);
}

// Of a partition whose replica identity lacks a column that its table's has: the key would be a null that was never there.
TEST(OutboxxJson, UnchangedRoutingColumnThatIsNullInTheOldKeyIsAnError) {
  Table table(relation("public", "orders", {column("id", kInt4), column("note", kText, kKey)}), "note");
  expect_error(table.update({text("1"), kUnchanged}, {{kNull, kNull}, OldRowKind::kKey}), ErrorCode::kPostgresMisconfigured,
               R"(could not route UPDATE on "public.orders" at LSN 0/1A2B: routing column "note" was not sent, )"
               "because its TOASTed value did not change");
}

TEST(OutboxxJson, DeleteWithoutTheRoutingColumnIsAnErrorThatSaysHowToMendIt) {
  Table table(relation("pub\"lic", "orders", order_columns()), "customer_id");
  const auto message = table.remove({{text("7"), kNull, kNull}, OldRowKind::kKey});
  expect_error(message, ErrorCode::kPostgresMisconfigured,
               "could not route DELETE on \"pub\"lic.orders\" at LSN 0/1A2B: routing column \"customer_id\" is not in the "
               "replica identity");
  EXPECT_EQ(
      message.error().hint,
      "For changes made from now on, run ALTER TABLE \"pub\"\"lic\".\"orders\" REPLICA IDENTITY FULL; to get past this one, "
      "set streams.sink.routing_key to a column of the replica identity.");
}

TEST(OutboxxJson, MissingRoutingColumnIsAnError) {
  Table table = orders("region");
  const auto message = table.insert({text("1"), kNull, kNull});
  expect_error(message, ErrorCode::kPostgresMisconfigured,
               "could not route INSERT on \"public.orders\" at LSN 0/1A2B: routing column \"region\" does not exist or is not "
               "published");
  EXPECT_EQ(message.error().hint, "Set streams.sink.routing_key to a column of the table that the publication contains.");
}

TEST(OutboxxJson, TupleThatDoesNotFitTheRelationIsAnError) {
  const auto count = [](const std::string& operation, int columns) {
    return "could not serialize " + operation + " on \"public.orders\" at LSN 0/1A2B: tuple has " + std::to_string(columns) +
           " columns, relation has 3";
  };
  Table table = orders();
  expect_error(table.insert({text("1"), kNull}), ErrorCode::kProtocol, count("INSERT", 2));
  expect_error(table.insert({text("1"), kNull, kNull, kNull}), ErrorCode::kProtocol, count("INSERT", 4));
  expect_error(table.update({text("1"), kNull, kNull}, {{text("1")}}), ErrorCode::kProtocol, count("UPDATE", 1));
  expect_error(table.remove({{text("1")}, OldRowKind::kKey}), ErrorCode::kProtocol, count("DELETE", 1));
}

TEST(OutboxxJson, BinaryValueIsAnError) {
  const Value binary{.kind = ValueKind::kBinary, .bytes = "\1"};
  Table table = orders();
  const auto text_of = [](const std::string& name) {
    return "could not serialize INSERT on \"public.orders\" at LSN 0/1A2B: column \"" + name +
           "\" came in binary format, which was not asked for";
  };
  expect_error(table.insert({text("1"), binary, kNull}), ErrorCode::kProtocol, text_of("customer_id"));
  expect_error(table.insert({binary, kNull, kNull}), ErrorCode::kProtocol, text_of("id"));
}

TEST(OutboxxJson, AfterAnErrorTheNextMessageIsWhole) {
  Table table = orders();
  EXPECT_FALSE(table.insert({text("1"), {.kind = ValueKind::kBinary, .bytes = "\1"}, kNull}));
  expect_message(table.insert({text("1"), kNull, kNull}), "1",
                 with_meta(R"({"op":"INSERT","data":{"id":1,"customer_id":null,"note":null})"));
}

TEST(OutboxxJson, NamesCannotBreakOutOfTheirStrings) {
  Table table(relation("s\"}", "t\n\\", {column("a\":1,\"b", kInt4, kKey)}), "a\":1,\"b");
  expect_message(table.insert({text("1")}), "1", with_meta(R"({"op":"INSERT","data":{"a\":1,\"b":1})", R"(s\"}.t\n\\)"));
}

TEST(OutboxxJson, TextThatIsNotWhatItsTypePromisesIsAString) {
  Table table(relation("public", "orders", {column("id", kInt4), column("b", kBool), column("f", kFloat8)}));
  expect_message(table.insert({text("0x1\""), text("yes"), text("1,5")}), "0x1\"",
                 with_meta(R"({"op":"INSERT","data":{"id":"0x1\"","b":"yes","f":"1,5"})"));
}

TEST(OutboxxJson, KeyOfANonFiniteFloatIsItsBareText) {
  Table table(relation("public", "orders", {column("id", kFloat8)}));
  expect_message(table.insert({text("-Infinity")}), "-Infinity", with_meta(R"({"op":"INSERT","data":{"id":"-Infinity"})"));
}

TEST(OutboxxJson, FollowsTheTableAndTheClock) {
  Table table = orders();
  ASSERT_TRUE(table.insert({text("1"), kNull, kNull}));
  table.describe(relation("public", "renamed", order_columns()));
  expect_message(table.insert({text("1"), kNull, kNull}), "1",
                 with_meta(R"({"op":"INSERT","data":{"id":1,"customer_id":null,"note":null})", "public.renamed"));
  table.at(-1, Lsn{0x16'B374'D848});  // before 1970: floored too
  table.describe(relation("other", "renamed", {column("x", kText), column("id", kBool, kKey)}));
  expect_message(table.insert({kNull, text("t")}), "true",
                 with_meta(R"({"op":"INSERT","data":{"x":null,"id":true})", "other.renamed", -1, "16/B374D848"));
  table.at(0, Lsn{0xFFFF'FFFF'FFFF'FFFF});
  expect_message(table.insert({text("y"), text("f")}), "false",
                 with_meta(R"({"op":"INSERT","data":{"x":"y","id":false})", "other.renamed", 0, "FFFFFFFF/FFFFFFFF"));
}

TEST(OutboxxJson, InvalidUtf8OfAnSqlAsciiDatabaseIsReplacedAndCounted) {
  Counter replaced;
  Table table(relation("public", "orders", {column("id", kText), column("n\xFF", kText)}), "id",
              {.replace_invalid_utf8 = true, .invalid_utf8 = &replaced});
  // The key keeps its bytes: keys that differ stay different.
  expect_message(
      table.insert({text("a\xFF\xFE"), text("\xC3\xA4")}), "a\xFF\xFE",
      with_meta("{\"op\":\"INSERT\",\"data\":{\"id\":\"a\xEF\xBF\xBD\xEF\xBF\xBD\",\"n\xEF\xBF\xBD\":\"\xC3\xA4\"}"));
  EXPECT_EQ(replaced.value(), 1U);
}

TEST(OutboxxJson, SingleBytesOfTheTypeCharAreReplacedInEveryDatabase) {
  constexpr std::uint32_t kChar = 18;
  Table table(relation("public", "orders", {column("id", kText), column("kind", kChar)}));
  expect_message(table.insert({text("a"), text("\xC3")}), "a",
                 with_meta("{\"op\":\"INSERT\",\"data\":{\"id\":\"a\",\"kind\":\"\xEF\xBF\xBD\"}"));
}

TEST(OutboxxJson, BytesAreTrustedUnlessTheDatabaseIsSqlAscii) {
  Table table(relation("public", "orders", {column("id", kText)}));
  expect_message(table.insert({text("\xFF")}), "\xFF", with_meta("{\"op\":\"INSERT\",\"data\":{\"id\":\"\xFF\"}"));
}

}  // namespace
}  // namespace outboxx::format_test
