#include "postgres/key_chunk.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "postgres/snapshot_plan.h"

namespace outboxx {
namespace {

const std::string kTable = R"("public"."t")";
const std::vector<KeyColumn> kId = {{.name = "id", .type = R"("pg_catalog"."int4")"}};
const std::vector<KeyColumn> kPair = {{.name = "name", .type = R"("pg_catalog"."text")"},
                                      {.name = "N", .type = R"("pg_catalog"."int8")"}};

SnapshotTable table_of(const char* row_filter = "") {
  SnapshotTable table;
  table.quoted_name = kTable;
  table.search_path = "'app'";
  table.row_filter = row_filter;
  table.expressions = {R"("id")", R"("name")"};
  return table;
}

TEST(KeyChunk, FindsTheEndOfTheNextRows) {
  EXPECT_EQ(find_end_statement(kTable, kId, std::nullopt, 2000),
            R"(SELECT "id"::pg_catalog.text FROM (SELECT "id" FROM ONLY "public"."t" ORDER BY "id" OFFSET 1999 LIMIT 1) t)");
  EXPECT_EQ(find_end_statement(kTable, kPair, KeyValues{"it's", "-5"}, 1),
            R"(SELECT "name"::pg_catalog.text, "N"::pg_catalog.text FROM (SELECT "name", "N" FROM ONLY "public"."t" )"
            R"(WHERE ("name", "N") OPERATOR(pg_catalog.>) ('it''s'::"pg_catalog"."text", '-5'::"pg_catalog"."int8") )"
            R"(ORDER BY "name", "N" OFFSET 0 LIMIT 1) t)");
}

TEST(KeyChunk, ReadsARange) {
  EXPECT_EQ(
      copy_range_statement(table_of(), kId, {.after = KeyValues{"1"}, .end = KeyValues{"9"}}, ""),
      R"(SELECT pg_catalog.set_config('search_path', 'app', true); )"
      R"(COPY (SELECT "id", "name" FROM ONLY "public"."t" WHERE ("id") OPERATOR(pg_catalog.>) ('1'::"pg_catalog"."int4") )"
      R"(AND ("id") OPERATOR(pg_catalog.<=) ('9'::"pg_catalog"."int4")) TO STDOUT (FORMAT binary))");
  EXPECT_EQ(copy_range_statement(table_of(), kId, {}, ""),
            R"(SELECT pg_catalog.set_config('search_path', 'app', true); )"
            R"(COPY (SELECT "id", "name" FROM ONLY "public"."t") TO STDOUT (FORMAT binary))");
}

TEST(KeyChunk, RespectsTheRowFilterAndTheCondition) {
  EXPECT_EQ(copy_range_statement(table_of("id > 0"), kId, {.after = {}, .end = KeyValues{"9"}}, "a OR b -- c"),
            "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true); "
            "COPY (SELECT \"id\", \"name\" FROM ONLY \"public\".\"t\" WHERE (\"id\") OPERATOR(pg_catalog.<=) "
            "('9'::\"pg_catalog\".\"int4\") "
            "AND (id > 0) AND (a OR b -- c\n)) TO STDOUT (FORMAT binary)");
}

TEST(KeyChunk, QuotesValuesWhateverTheServerSays) {
  const std::string copy = copy_range_statement(table_of(), kPair, {.after = KeyValues{R"(a\')", "1"}, .end = {}}, "");
  EXPECT_NE(copy.find(R"(E'a\\'''::)"), std::string::npos) << copy;
}

TEST(KeyChunk, ChecksTheConditionAsItWillStand) {
  EXPECT_EQ(check_where_statement(kTable, "a OR b"),
            "SELECT $1::pg_catalog.text FROM ONLY \"public\".\"t\" WHERE (a OR b\n) LIMIT 0");
}

}  // namespace
}  // namespace outboxx
