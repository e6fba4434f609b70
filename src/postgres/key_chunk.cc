#include "postgres/key_chunk.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/wait.h"
#include "postgres/connection.h"
#include "postgres/snapshot_plan.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

// A column serves if its order is one of the server's own operators, which are what we compare with: the index's operator class
// is in pg_catalog, and so is the one of the type, or of what it is a domain over, by which ORDER BY would sort. An extension's
// type has its own elsewhere, even if the index has that of text.
constexpr const char* kKeyQuery = R"(
select a.attname, n.nspname, t.typname, pg_catalog.concat(a.atttypid, '/', a.attcollation),
       i.indcollation[k.place - 1] = a.attcollation
       and o.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace
       and not exists (
         select from pg_catalog.pg_opclass d
          where d.opcmethod = o.opcmethod and d.opcdefault and d.opcintype in (t.oid, t.typbasetype)
            and d.opcnamespace <> 'pg_catalog'::pg_catalog.regnamespace)
  from (select * from pg_catalog.pg_index
         where indrelid = $1::pg_catalog.oid and indisvalid and (indisprimary or indisreplident)
         order by indisprimary desc limit 1) i
 cross join lateral unnest(i.indkey::pg_catalog.int2[]) with ordinality k(number, place)
  join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
  join pg_catalog.pg_type t on t.oid = a.atttypid
  join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  join pg_catalog.pg_opclass o on o.oid = i.indclass[k.place - 1]
 where k.place <= i.indnkeyatts
 order by k.place)";

// As for row filters (snapshot_plan.cc): nobody's function can stand before the server's.
constexpr const char* kSafeSearchPath = "'pg_catalog'";

// Standard strings: a quote is doubled and nothing else has a meaning. E'' for backslashes would depend on no setting either.
std::string quote_text(std::string_view text) {
  std::string quoted = text.contains('\\') ? "E'" : "'";
  for (const char character : text) {
    quoted.append(character == '\'' || character == '\\' ? 2 : 1, character);
  }
  return quoted + '\'';
}

std::string names(const std::vector<KeyColumn>& key) {
  std::vector<std::string> quoted;
  quoted.reserve(key.size());
  for (const KeyColumn& column : key) {
    quoted.push_back(quote_sql_identifier(column.name));
  }
  return fmt::format("{}", fmt::join(quoted, ", "));
}

// A row of one column is none to the parser.
std::string compare(const std::vector<KeyColumn>& key, std::string_view comparison, const KeyValues& values) {
  CHECK(key.size() == values.size());
  std::vector<std::string> literals;
  literals.reserve(key.size());
  for (std::size_t index = 0; index < key.size(); ++index) {
    literals.push_back(quote_text(values[index]) + "::" + key[index].type);
  }
  return fmt::format("({}) {} ({})", names(key), comparison, fmt::join(literals, ", "));
}

// A comment at its end must not hide what follows.
std::string enclosed(const std::string& condition) {
  return "(" + condition + "\n)";
}

std::string where_clause(const std::vector<std::string>& conditions) {
  return conditions.empty() ? "" : fmt::format(" WHERE {}", fmt::join(conditions, " AND "));
}

}  // namespace

Result<std::vector<KeyColumn>> read_key(Connection& sql, std::uint32_t oid, StopSignal stop) {
  const QueryResult found = TRY(sql.query(kKeyQuery, {std::to_string(oid)}, catalog_deadline(), stop));
  std::vector<KeyColumn> key;
  for (int row = 0; row < found.rows(); ++row) {
    if (found.value(row, 4) != "t") {
      return std::vector<KeyColumn>();
    }
    key.push_back({.name = found.text(row, 0),
                   .type = quote_sql_table(found.text(row, 1), found.text(row, 2)),
                   .order = found.text(row, 3)});
  }
  return key;
}

std::string find_end_statement(const std::string& quoted_table, const std::vector<KeyColumn>& key,
                               const std::optional<KeyValues>& after, std::uint64_t rows) {
  std::vector<std::string> texts;
  texts.reserve(key.size());
  for (const KeyColumn& column : key) {
    texts.push_back(quote_sql_identifier(column.name) + "::pg_catalog.text");
  }
  return fmt::format("SELECT {} FROM (SELECT {} FROM ONLY {}{} ORDER BY {} OFFSET {} LIMIT 1) t", fmt::join(texts, ", "),
                     names(key), quoted_table, after ? " WHERE " + compare(key, "OPERATOR(pg_catalog.>)", *after) : "",
                     names(key), rows - 1);
}

std::string copy_range_statement(const SnapshotTable& table, const std::vector<KeyColumn>& key, const KeyRange& range,
                                 const std::string& where) {
  std::vector<std::string> conditions;
  if (range.after) {
    conditions.push_back(compare(key, "OPERATOR(pg_catalog.>)", *range.after));
  }
  if (range.end) {
    conditions.push_back(compare(key, "OPERATOR(pg_catalog.<=)", *range.end));
  }
  if (!table.row_filter.empty()) {
    conditions.push_back("(" + table.row_filter + ")");
  }
  if (!where.empty()) {
    conditions.push_back(enclosed(where));
  }
  return fmt::format(
      "SELECT pg_catalog.set_config('search_path', {}, true); COPY (SELECT {} FROM ONLY {}{}) TO STDOUT (FORMAT binary)",
      where.empty() ? table.search_path : kSafeSearchPath, fmt::join(table.expressions, ", "), table.quoted_name,
      where_clause(conditions));
}

std::string check_where_statement(const std::string& quoted_table, const std::string& where) {
  return fmt::format("SELECT $1::pg_catalog.text FROM ONLY {}{} LIMIT 0", quoted_table, where_clause({enclosed(where)}));
}

}  // namespace outboxx
