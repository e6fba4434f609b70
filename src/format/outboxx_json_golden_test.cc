// Byte for byte what v0 wrote: tests/golden/outboxx-v0/README tells how the messages were captured.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "format/format_test_support.h"
#include "model/change.h"
#include "model/relation.h"

namespace outboxx::format_test {
namespace {

using namespace std::string_literals;

// One JSON string of a line of messages.jsonl: the file is written by Python's json.dumps, which escapes no letter.
std::string json_field(std::string_view line, std::string_view name) {
  const std::string head = fmt::format("\"{}\": \"", name);
  std::size_t index = line.find(head);
  EXPECT_NE(index, std::string_view::npos) << name;
  std::string field;
  for (index += head.size(); line[index] != '"'; ++index) {
    if (line[index] != '\\') {
      field.push_back(line[index]);
      continue;
    }
    ++index;
    EXPECT_TRUE(line[index] == '"' || line[index] == '\\') << line[index];
    field.push_back(line[index]);
  }
  return field;
}

Message golden(std::string_view stream, int partition, int offset) {
  std::ifstream file(OUTBOXX_GOLDEN_DIR "/outboxx-v0/messages.jsonl");
  const std::string head =
      fmt::format(R"({{"stream": "{0}", "topic": "golden.{0}", "partition": {1}, "offset": {2}, )", stream, partition, offset);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(head)) {
      return {.key = json_field(line, "key"), .value = json_field(line, "value")};
    }
  }
  ADD_FAILURE() << "no message " << head;
  return {};
}

// What v0 wrote: the test takes the commit time and the LSN from there, and compares all bytes.
class Golden {
 public:
  Golden(std::string_view stream, int partition, int offset) : message_(golden(stream, partition, offset)) {}

  void set_position(Table& table) const {
    const std::string& value = message_.value;
    const std::size_t timestamp = value.rfind("\"timestamp\":") + 12;
    const std::size_t lsn = value.rfind("\"lsn\":\"") + 7;
    table.at(std::stoll(value.substr(timestamp)), parse_lsn(value.substr(lsn, value.find('"', lsn) - lsn)).value());
  }
  void expect(const Result<Message>& message) const {
    ASSERT_TRUE(message) << message.error().message;
    EXPECT_EQ(message->key, message_.key);
    EXPECT_EQ(message->value, message_.value);
  }
  void expect_insert(Table& table, const std::vector<Value>& row) const {
    set_position(table);
    expect(table.insert(row));
  }
  void expect_update(Table& table, const std::vector<Value>& row, const Row& old_row = {{}, OldRowKind::kNone}) const {
    set_position(table);
    expect(table.update(row, old_row));
  }
  void expect_delete(Table& table, const Row& old_row) const {
    set_position(table);
    expect(table.remove(old_row));
  }

 private:
  Message message_;
};

// The table "matrix" of schema.sql, with the values that before.sql gives its row.
struct MatrixColumn {
  const char* name;
  std::uint32_t type_oid;
  const char* value;
};

constexpr MatrixColumn kMatrix[] = {
    {"c_bool", kBool, "t"},
    {"c_int2", kInt2, "-32768"},
    {"c_int4", kInt4, "-2147483648"},
    {"c_int8", kInt8, "-9223372036854775808"},
    {"c_float4", kFloat4, "3.25"},
    {"c_float8", kFloat8, "0.1"},
    {"c_numeric", 1700, "123456789012345678901234567890.000000000000000000001"},
    {"c_numeric_scaled", 1700, "12345678901234.567890"},
    {"c_money", 790, "$1,234.50"},
    {"c_text", kText, "plain"},
    {"c_varchar", 1043, "v"},
    {"c_char", 1042, "c     "},
    {"c_name", 19, "n"},
    {"c_json", 114, R"({"b":1, "a" : [1,2.50,null]})"},
    {"c_jsonb", 3802, R"({"a": [1, 2.50, null], "b": 1})"},
    {"c_uuid", 2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
    {"c_bytea", 17, "\\x00ff10"},
    {"c_date", 1082, "2024-02-29"},
    {"c_time", 1083, "23:59:59.999999"},
    {"c_timetz", 1266, "12:00:00+05:30"},
    {"c_timestamp", 1114, "2024-02-29 12:34:56.789"},
    {"c_timestamptz", 1184, "2024-02-29 10:34:56+00"},
    {"c_interval", 1186, "1 year 2 mons 3 days 04:05:06.7"},
    {"c_int4_array", 1007, "{1,NULL,-3}"},
    {"c_text_array", 1009, R"({"a,b","c\"d",NULL})"},
    {"c_int8_grid", 1016, "{{1,2},{3,4}}"},
    {"c_bool_array", 1000, "{t,f}"},
    {"c_float8_array", 1022, "{1.5,NaN}"},
    {"c_inet", 869, "192.168.0.1/24"},
    {"c_cidr", 650, "10.0.0.0/8"},
    {"c_macaddr", 829, "08:00:2b:01:02:03"},
    {"c_int4range", 3904, "[1,10)"},
    {"c_int4multirange", 4451, "{[1,3),[5,7)}"},
    {"c_tstzrange", 3910, R"(["2024-01-01 00:00:00+00",))"},
    {"c_point", 600, "(1.5,2)"},
    {"c_polygon", 604, "((0,0),(1,1),(1,0))"},
    {"c_bit", 1560, "10101"},
    {"c_varbit", 1562, "1"},
    {"c_tsvector", 3614, "'a' 'cat' 'fat'"},
    {"c_xml", 142, R"(<a b="1"/>)"},
    {"c_pg_lsn", 3220, "16/B374D848"},
    {"c_oid", 26, "4294967295"},
    {"c_regclass", 2205, "pg_class"},
    {"c_enum", kOtherType, "so so"},
    {"c_enum_array", kOtherType, R"({ok,"so so"})"},
    {"c_domain_int", kOtherType, "5"},
    {"c_domain_text", kOtherType, "t"},
    {"c_composite", kOtherType, R"((1,"x y"))"},
};

Relation matrix() {
  std::vector<Column> columns = {column("id", kInt4, kKey)};
  for (const MatrixColumn& row : kMatrix) {
    columns.push_back(column(row.name, row.type_oid, kKey));
  }
  return relation("public", "matrix", std::move(columns));
}

using Values = std::initializer_list<std::pair<std::string_view, Value>>;

std::vector<Value> changed(std::vector<Value> row, Values values) {
  const Relation table = matrix();
  for (const auto& [name, value] : values) {
    row[table.column_index(name).value()] = value;
  }
  return row;
}

std::vector<Value> matrix_row(std::string_view id) {
  std::vector<Value> row = {text(id)};
  for (const MatrixColumn& column : kMatrix) {
    row.push_back(text(column.value));
  }
  return row;
}

std::vector<Value> matrix_nulls(std::string_view id) {
  return changed(std::vector<Value>(std::size(kMatrix) + 1), {{"id", text(id)}});
}

TEST(OutboxxJsonGolden, WritesEachTypeAsV0Did) {
  Table table(matrix());
  Golden("matrix", 0, 1).expect_insert(table, matrix_row("2"));
  Golden("matrix", 0, 2).expect_insert(table, matrix_nulls("3"));
  Golden("matrix", 0, 3)
      .expect_insert(table, changed(matrix_nulls("4"), {{"c_bool", text("f")},
                                                        {"c_float4", text("-Infinity")},
                                                        {"c_float8", text("NaN")},
                                                        {"c_numeric", text("NaN")},
                                                        {"c_timestamptz", text("infinity")},
                                                        {"c_date", text("0044-03-15 BC")},
                                                        {"c_text", text("")}}));
  Golden("matrix", 0, 4).expect_update(table, changed(matrix_row("2"), {{"c_text", text("changed")}}), {matrix_row("2")});
  Golden("matrix", 0, 5).expect_delete(table, {matrix_nulls("3")});
}

TEST(OutboxxJsonGolden, WritesFloatsInPlainDecimal) {
  // What PostgreSQL sends for the rows of live.sql.
  const std::pair<const char*, const char*> rows[] = {
      {"0", "0"},
      {"-0", "-0"},
      {"1", "1"},
      {"100", "100"},
      {"0.1", "0.1"},
      {"-12345.678901", "-12345.679"},
      {"1e-07", "1e-07"},
      {"1e-20", "1e-20"},
      {"1e+15", "1e+15"},
      {"1e+16", "1e+16"},
      {"1e+21", "1e+21"},
      {"1e+22", "1e+22"},
      {"1.5e+30", "1.5e+30"},
      {"1.2345678901234568e+17", "1.6777216e+07"},
      {"0.30000000000000004", "0.33333334"},
      {"5e-324", "1e-45"},
      {"1.7976931348623157e+308", "3.4028235e+38"},
      {"2.2250738585072014e-308", "1.1754944e-38"},
      {"NaN", "NaN"},
      {"Infinity", "Infinity"},
      {"-Infinity", "-Infinity"},
      {"9007199254740992", "9.007199e+15"},
      {"9.999999999999999e+22", "1e+23"},
      {"4.35", "4.35"},
  };
  Table table(relation("public", "floats", {column("id", kInt4, kKey), column("f8", kFloat8), column("f4", kFloat4)}));
  int offset = 0;
  for (const auto& [float8, float4] : rows) {
    const std::string id = std::to_string(offset + 1);
    Golden("floats", 0, offset++).expect_insert(table, {text(id), text(float8), text(float4)});
  }
  EXPECT_EQ(offset, 24);
}

TEST(OutboxxJsonGolden, EscapesStringsAsV0Did) {
  const std::string_view rows[] = {
      "",
      "\"\\/",
      "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0F",
      "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1A\x1B\x1C\x1D\x1E\x1F",
      "\x7F",
      "\xC3\xA4\xC3\x9F\xE2\x82\xAC\xE6\xBC\xA2\xE5\xAD\x97\xF0\x9F\x98\x80",
      "\xE2\x80\xA8\xE2\x80\xA9\xEF\xBB\xBF\xC2\x80\xC2\x9F",
      "<script>&'",
      "42",
      "null",
  };
  Table table(relation("public", "strings", {column("id", kInt4, kKey), column("s", kText)}));
  int offset = 0;
  for (const std::string_view row : rows) {
    const std::string id = std::to_string(offset + 1);
    Golden("strings", 0, offset++).expect_insert(table, {text(id), text(row)});
  }
}

TEST(OutboxxJsonGolden, MarksUnchangedToast) {
  const std::string x(3000, 'x');
  const std::string y(3000, 'y');
  const std::vector<Column> columns = {column("id", kInt4, kKey), column("big", kText), column("n", kInt4)};
  Table by_key(relation("public", "toast_default", columns));
  Golden("toast-default", 0, 0).expect_insert(by_key, {text("1"), text(x), text("1")});
  Golden("toast-default", 0, 1).expect_update(by_key, {text("1"), kUnchanged, text("2")});
  Golden("toast-default", 0, 2).expect_update(by_key, {text("1"), text(y), text("2")});
  Golden("toast-default", 0, 3).expect_update(by_key, {text("1"), kNull, text("2")});

  Table full(relation("public", "toast_full", columns));
  Golden("toast-full", 0, 0).expect_insert(full, {text("1"), text(x), text("1")});
  Golden("toast-full", 0, 1).expect_update(full, {text("1"), kUnchanged, text("2")}, {{text("1"), text(x), text("1")}});
  Golden("toast-full", 0, 2).expect_delete(full, {{text("1"), text(x), text("2")}});
}

TEST(OutboxxJsonGolden, KeysByTheTextOfTheRoutingColumn) {
  const Relation keys =
      relation("public", "keys",
               {column("id", kInt4, kKey), column("k_int", kInt4), column("k_big", kInt8), column("k_text", kText),
                column("k_bool", kBool), column("k_uuid", 2950), column("k_numeric", 1700), column("k_float", kFloat8),
                column("k_ts", 1184), column("k_bytes", 17)});
  const std::vector<Value> row = {text("1"),
                                  text("7"),
                                  text("9007199254740993"),
                                  text("a \"b\" \xC3\xA4"),
                                  text("t"),
                                  text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
                                  text("1.50"),
                                  text("1e+21"),
                                  text("2024-02-29 10:34:56+00"),
                                  text("\\x00ff")};
  std::vector<Value> nulls(row.size());
  nulls[0] = text("2");

  struct Place {
    const char* key;
    int partition;
    int offset;
    int null_partition;
    int null_offset;
  };
  for (const Place& place : {Place{"int", 0, 0, 1, 0}, Place{"big", 1, 0, 1, 1}, Place{"text", 5, 0, 1, 0},
                             Place{"bool", 5, 0, 1, 0}, Place{"uuid", 4, 0, 1, 0}, Place{"numeric", 4, 0, 1, 0},
                             Place{"float", 0, 0, 1, 0}, Place{"ts", 1, 0, 1, 1}, Place{"bytes", 4, 0, 1, 0}}) {
    SCOPED_TRACE(place.key);
    Table table(keys, "k_"s + place.key);
    Golden("key-"s + place.key, place.partition, place.offset).expect_insert(table, row);
    Golden("key-"s + place.key, place.null_partition, place.null_offset).expect_insert(table, nulls);
  }
}

TEST(OutboxxJsonGolden, RoutesUpdatesByTheNewRowAndDeletesByTheOld) {
  const Relation routed = relation("public", "routed", {column("id", kInt4, kKey), column("v", kText, kKey)});
  Table by_id(routed);
  Golden("routed", 1, 0).expect_insert(by_id, {text("2"), text("v2")});
  Golden("routed", 0, 1).expect_update(by_id, {text("100"), text("v1")}, {{text("1"), text("v1")}});
  Golden("routed", 1, 2).expect_delete(by_id, {{text("2"), text("v2")}});
  Table by_v(routed, "v");
  Golden("routed-by-v", 3, 1).expect_insert(by_v, {text("2"), text("v2")});
  Golden("routed-by-v", 3, 3).expect_update(by_v, {text("100"), text("v1")}, {{text("1"), text("v1")}});
  Golden("routed-by-v", 3, 4).expect_delete(by_v, {{text("2"), text("v2")}});
}

TEST(OutboxxJsonGolden, EscapesNamesAndFollowsTheTable) {
  std::vector<Column> columns = {column("id", kInt4, kKey), column("we\\ird \"name", kInt4),
                                 column("gr\xC3\xB6\xC3\x9F"
                                        "e",
                                        kText)};
  Table table(relation("sales", "orders", columns));
  Golden("orders", 0, 1).expect_insert(table, {text("2"), text("-1"), text("gro\xC3\x9F")});
  columns.push_back(column("added", kBool));
  table.describe(relation("sales", "orders", columns));
  Golden("orders", 0, 2).expect_insert(table, {text("3"), text("0"), kNull, text("f")});
}

TEST(OutboxxJsonGolden, GeneratedColumnsAreNotSent) {
  Table table(relation("public", "generated", {column("id", kInt4, kKey), column("a", kInt4)}));
  Golden("generated", 0, 1).expect_insert(table, {text("2"), text("22")});
}

TEST(OutboxxJsonGolden, RowsOfOneCopyShareTheirLsn) {
  Table table(relation("public", "copied", {column("id", kInt4, kKey), column("v", kText)}));
  for (int row = 1; row <= 5; ++row) {
    const std::string id = std::to_string(row);
    const std::string v = "row " + id;
    Golden("copied", 0, row - 1).expect_insert(table, {text(id), text(v)});
  }
}

}  // namespace
}  // namespace outboxx::format_test
