#include "postgres/table_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/relation.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/preflight.h"
#include "postgres/publication.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

constexpr std::size_t kNamesShown = 20;

std::string shown_names(std::span<const std::string> names) {
  const auto shown = names.first(std::min(names.size(), kNamesShown));
  return fmt::format("{}{}", fmt::join(shown, ", "),
                     names.size() > shown.size() ? fmt::format(" and {} more", names.size() - shown.size()) : "");
}

std::string kind_name(char kind) {
  constexpr std::array<std::pair<char, std::string_view>, 6> kKinds = {{{'v', "a view"},
                                                                        {'m', "a materialized view"},
                                                                        {'f', "a foreign table"},
                                                                        {'S', "a sequence"},
                                                                        {'i', "an index"},
                                                                        {'c', "a composite type"}}};
  const auto* const found = std::ranges::find(kKinds, kind, &std::pair<char, std::string_view>::first);
  return found == kKinds.end() ? fmt::format("a relation of kind \"{}\"", kind) : std::string(found->second);
}

Check check_kind(const TableState& table) {
  const std::string name = fmt::format("table {}.{}", table.schema, table.table);
  const std::string refusal = fmt::format("cannot stream \"{}.{}\": it is ", table.schema, table.table);
  if (table.kind != 'r' && table.kind != 'p') {
    return failed_check(name, refusal + kind_name(table.kind), "Only ordinary and partitioned tables have changes to stream.");
  }
  if (table.schema == "pg_catalog" || table.schema == "information_schema") {
    return failed_check(name, refusal + "a system table", "Only tables of users can be published.");
  }
  if (table.persistence == 't') {
    return failed_check(name, refusal + "a temporary table", "Changes of temporary tables are not in the WAL.");
  }
  if (table.persistence == 'u') {
    return failed_check(name, refusal + "an unlogged table, whose changes are not in the WAL",
                        fmt::format("Run: ALTER TABLE {} SET LOGGED;", quote_sql_table(table.schema, table.table)));
  }
  return passed_check(name, fmt::format("table \"{}.{}\" exists", table.schema, table.table));
}

// What decides the old rows of a table's UPDATE and DELETE: its own identity, or its partitions'.
std::vector<IdentityState> written_identities(const TableState& table) {
  return table.is_partitioned() ? table.leaves : std::vector<IdentityState>{table.identity};
}

// The way to identity FULL for a table, its partitions included.
std::string full_identity_sql(const TableState& table) {
  const std::string name = quote_sql_table(table.schema, table.table);
  if (!table.is_partitioned()) {
    return fmt::format("ALTER TABLE {} REPLICA IDENTITY FULL;", name);
  }
  std::string sql = fmt::format("ALTER TABLE {} REPLICA IDENTITY FULL;", name);
  for (const IdentityState& leaf : table.leaves) {
    sql += fmt::format(" ALTER TABLE {} REPLICA IDENTITY FULL;", quote_sql_table(leaf.schema, leaf.table));
  }
  return sql;
}

std::string missing_identity_reason(const IdentityState& identity) {
  switch (identity.kind) {
    case ReplicaIdentity::kDefault:
      return "it has no primary key, or only a deferrable one";
    case ReplicaIdentity::kNothing:
      return "it is set to NOTHING";
    case ReplicaIdentity::kIndex:
      return "its index was dropped";
    case ReplicaIdentity::kFull:
      break;
  }
  return "it is FULL";
}

std::string identity_hint(const TableState& table, const IdentityState& identity) {
  if (identity.kind == ReplicaIdentity::kNothing) {
    return fmt::format("If it has a primary key, run: ALTER TABLE {} REPLICA IDENTITY DEFAULT; Else: {}",
                       quote_sql_table(identity.schema, identity.table), full_identity_sql(table));
  }
  return fmt::format("Add a primary key, or run: {}", full_identity_sql(table));
}

Check check_identity(const TableState& table, PublishedOperations published) {
  const std::string name = fmt::format("replica identity of {}.{}", table.schema, table.table);
  for (const IdentityState& identity : written_identities(table)) {
    if (!identity.is_usable() && (published.updates || published.deletes)) {
      const std::string_view operations =
          published.updates && published.deletes ? "UPDATE and DELETE" : (published.updates ? "UPDATE" : "DELETE");
      return failed_check(
          name,
          fmt::format("table \"{}.{}\" has no usable replica identity ({}): the server {} {} on it{}", identity.schema,
                      identity.table, missing_identity_reason(identity), published.already ? "refuses" : "would refuse",
                      operations, published.already ? "" : " once it is published"),
          identity_hint(table, identity));
    }
    if (table.is_partitioned() && table.identity.kind == ReplicaIdentity::kFull && identity.kind != ReplicaIdentity::kFull) {
      return failed_check(
          name,
          fmt::format("table \"{}.{}\" has replica identity FULL, its partition \"{}.{}\" has not: old rows would "
                      "arrive with nulls for columns that are not null",
                      table.schema, table.table, identity.schema, identity.table),
          fmt::format("Run: {}", full_identity_sql(table)));
    }
  }
  if (table.identity.kind == ReplicaIdentity::kFull) {
    return passed_check(
        name, fmt::format("table \"{}.{}\" has replica identity FULL: old rows are complete", table.schema, table.table));
  }
  return passed_check(
      name, fmt::format("old rows of table \"{}.{}\" carry the columns of its replica identity only: {}", table.schema,
                        table.table, table.identity.columns.empty() ? "none" : shown_names(table.identity.columns)));
}

Check check_routing_key(const StreamConfig& stream, const TableState& table, const PublishedTable* published) {
  const std::string name = fmt::format("stream {}", stream.name);
  const std::string table_name = fmt::format("{}.{}", table.schema, table.table);
  const ColumnState* const column = table.find_column(stream.routing_key);
  if (column == nullptr) {
    std::vector<std::string> names;
    names.reserve(table.columns.size());
    for (const ColumnState& existing : table.columns) {
      names.push_back(existing.name);
    }
    return failed_check(name,
                        fmt::format("table \"{}\" has no column \"{}\", the routing_key of stream \"{}\"", table_name,
                                    stream.routing_key, stream.name),
                        fmt::format("Its columns are: {}. Set routing_key in [streams.sink].", shown_names(names)));
  }
  const bool is_published =
      !column->is_generated ||
      (published != nullptr && std::ranges::find(published->columns, stream.routing_key) != published->columns.end());
  if (!is_published) {
    return failed_check(
        name,
        fmt::format("column \"{}\" of table \"{}\", the routing_key of stream \"{}\", is a generated column, which "
                    "is not published",
                    stream.routing_key, table_name, stream.name),
        "Set routing_key in [streams.sink] to an ordinary column, for example the primary key.");
  }
  return passed_check(name, fmt::format("table \"{}\" has the routing_key \"{}\"", table_name, stream.routing_key));
}

// Partitions that do not write all columns of their table's identity.
std::vector<IdentityState> leaves_without_key(const TableState& table) {
  std::vector<IdentityState> lacking = table.leaves;
  std::erase_if(lacking, [&table](const IdentityState& leaf) {
    return !leaf.is_usable() ||  // was reported for the table
           std::ranges::all_of(table.identity.columns, [&leaf](const std::string& column) { return leaf.carries(column); });
  });
  return lacking;
}

Check check_leaf_key(const StreamConfig& stream, const TableState& table, std::span<const IdentityState> lacking) {
  std::vector<std::string> missing = table.identity.columns;
  std::erase_if(missing, [&lacking](const std::string& column) { return lacking.front().carries(column); });
  std::string sql;
  for (const IdentityState& leaf : lacking) {
    sql += fmt::format(" ALTER TABLE {} REPLICA IDENTITY FULL;", quote_sql_table(leaf.schema, leaf.table));
  }
  return failed_check(
      fmt::format("stream {}", stream.name),
      fmt::format("stream \"{}\" asks for delete, and the replica identity of table \"{}.{}\" has {}, but that of its "
                  "partition \"{}.{}\" lacks {}: deleted rows would arrive with nulls for columns that are not null",
                  stream.name, table.schema, table.table, shown_names(table.identity.columns), lacking.front().schema,
                  lacking.front().table, shown_names(missing)),
      fmt::format("Run:{} Or choose an index on the columns of the table's replica identity for each partition with REPLICA "
                  "IDENTITY USING INDEX.",
                  sql));
}

// Rows of a partitioned table come under its name, and the server marks the columns of its identity as their key; but it is
// their partition's identity that was written, with nulls for the other columns.
std::optional<Check> check_partition_keys(const StreamConfig& stream, const TableState& table) {
  if (!stream.operations.remove || !table.is_partitioned() || table.identity.kind == ReplicaIdentity::kFull) {
    return std::nullopt;
  }
  if (!table.identity.is_usable()) {
    return failed_check(fmt::format("stream {}", stream.name),
                        fmt::format("stream \"{}\" asks for delete, but table \"{}.{}\" has no usable replica identity ({}): "
                                    "deleted rows come without a key, whatever the identity of their partition",
                                    stream.name, table.schema, table.table, missing_identity_reason(table.identity)),
                        identity_hint(table, table.identity));
  }
  const std::vector<IdentityState> lacking = leaves_without_key(table);
  return lacking.empty() ? std::nullopt : std::optional(check_leaf_key(stream, table, lacking));
}

// A DELETE has only the old row, so the record's key must be in it.
std::optional<Check> check_delete_key(const StreamConfig& stream, const TableState& table) {
  std::vector<IdentityState> identities = written_identities(table);
  identities.push_back(table.identity);
  const auto lacking = std::ranges::find_if(identities, [&](const IdentityState& identity) {
    return identity.is_usable() && !identity.carries(stream.routing_key);  // an unusable one was reported for the table
  });
  if (!stream.operations.remove || lacking == identities.end()) {
    return std::nullopt;
  }
  const std::string columns = shown_names(lacking->columns);
  return failed_check(
      fmt::format("stream {}", stream.name),
      fmt::format("stream \"{}\" asks for delete, but deleted rows of table \"{}.{}\" come without its "
                  "routing_key \"{}\": the replica identity has only {}",
                  stream.name, lacking->schema, lacking->table, stream.routing_key, columns),
      fmt::format("Run: {} Or set routing_key in [streams.sink] to one of: {}.", full_identity_sql(table), columns));
}

std::string grant_hint(std::string_view schema, std::string_view table, std::string_view role) {
  return fmt::format("As the owner, run: GRANT USAGE ON SCHEMA {0} TO {2}; GRANT SELECT ON {1} TO {2};",
                     quote_sql_identifier(schema), quote_sql_table(schema, table), quote_sql_identifier(role));
}

Check row_security_warning(const std::string& name, std::string_view schema, std::string_view table) {
  return warned_check(
      name,
      fmt::format("row security is active on table \"{}.{}\": a snapshot reads only the rows that its policies show", schema,
                  table),
      "Decoding does not know row security. To read all rows, give the role BYPASSRLS.");
}

// Leaves are read one by one.
Check check_leaf(const StreamConfig& stream, const TableState& table, const LeafState& leaf) {
  const std::string name = fmt::format("stream {}", stream.name);
  if (leaf.kind == 'f') {
    return failed_check(name,
                        fmt::format("stream \"{}\" asks for read, but partition \"{}.{}\" of table \"{}.{}\" is a foreign "
                                    "table: its changes are not in the WAL of this server",
                                    stream.name, leaf.schema, leaf.table, table.schema, table.table),
                        "Detach the partition, or remove \"read\" from the stream's operations.");
  }
  if (leaf.persistence == 'u') {
    return warned_check(name,
                        fmt::format("partition \"{}.{}\" of table \"{}.{}\" is unlogged: its rows are neither read by a "
                                    "snapshot nor streamed",
                                    leaf.schema, leaf.table, table.schema, table.table),
                        fmt::format("Run: ALTER TABLE {} SET LOGGED;", quote_sql_table(leaf.schema, leaf.table)));
  }
  if (!leaf.is_readable) {
    return failed_check(
        name,
        fmt::format("stream \"{}\" asks for read, but we may not SELECT from \"{}.{}\", a partition of table \"{}.{}\"",
                    stream.name, leaf.schema, leaf.table, table.schema, table.table),
        grant_hint(leaf.schema, leaf.table, table.asking_role));
  }
  return row_security_warning(name, leaf.schema, leaf.table);
}

// One for each schema.
std::vector<Check> check_type_schemas(const StreamConfig& stream, const TableState& table, const PublishedTable* published) {
  std::map<std::string, std::vector<std::string>> columns_of;
  for (const ClosedSchema& closed : table.closed_schemas) {
    const ColumnState* const column = table.find_column(closed.column);
    const bool is_published = published != nullptr && !published->columns.empty()
                                  ? std::ranges::find(published->columns, closed.column) != published->columns.end()
                                  : column != nullptr && !column->is_generated;
    if (is_published) {
      columns_of[closed.schema].push_back(closed.column);
    }
  }
  std::vector<Check> checks;
  checks.reserve(columns_of.size());
  for (const auto& [schema, columns] : columns_of) {
    checks.push_back(failed_check(
        fmt::format("stream {}", stream.name),
        fmt::format("stream \"{}\" asks for read, but we may not use schema \"{}\", which has the types of columns {} of table "
                    "\"{}.{}\"",
                    stream.name, schema, shown_names(columns), table.schema, table.table),
        fmt::format("As the owner of the schema, run: GRANT USAGE ON SCHEMA {} TO {};", quote_sql_identifier(schema),
                    quote_sql_identifier(table.asking_role))));
  }
  return checks;
}

std::vector<Check> check_rows(const StreamConfig& stream, const TableState& table) {
  const std::string name = fmt::format("stream {}", stream.name);
  if (!table.is_readable) {
    return {failed_check(name,
                         fmt::format("stream \"{}\" asks for read, but we may not SELECT from table \"{}.{}\"", stream.name,
                                     table.schema, table.table),
                         grant_hint(table.schema, table.table, table.asking_role))};
  }
  if (!table.is_partitioned()) {
    return table.has_row_security ? std::vector{row_security_warning(name, table.schema, table.table)} : std::vector<Check>();
  }
  std::vector<Check> checks;
  checks.reserve(table.odd_leaves.size());
  for (const LeafState& leaf : table.odd_leaves) {
    checks.push_back(check_leaf(stream, table, leaf));
  }
  return checks;
}

std::vector<Check> check_snapshot(const StreamConfig& stream, const TableState& table, const PublishedTable* published) {
  if (!stream.operations.read) {
    return {};
  }
  std::vector<Check> checks = check_rows(stream, table);
  std::ranges::move(check_type_schemas(stream, table, published), std::back_inserter(checks));
  return checks;
}

}  // namespace

std::vector<Check> check_table(const TableState& table, PublishedOperations published) {
  std::vector<Check> checks{check_kind(table)};
  if (checks.back().status != Check::Status::kFailed) {
    checks.push_back(check_identity(table, published));
  }
  return checks;
}

std::vector<Check> check_stream(const StreamConfig& stream, const TableState& table, const PublishedTable* published) {
  std::vector<Check> checks{check_routing_key(stream, table, published)};
  if (checks.back().status != Check::Status::kFailed) {
    auto check = check_partition_keys(stream, table);
    if (!check) {
      check = check_delete_key(stream, table);
    }
    if (check) {
      checks.push_back(*std::move(check));
    }
  }
  std::ranges::move(check_snapshot(stream, table, published), std::back_inserter(checks));
  return checks;
}

Check check_missing_table(const StreamConfig& stream, std::span<const std::string> similar) {
  return failed_check(fmt::format("table {}.{}", stream.schema, stream.table),
                      fmt::format("table \"{}.{}\" of stream \"{}\" does not exist", stream.schema, stream.table, stream.name),
                      similar.empty() ? "Names are case-sensitive here. Set resource in [streams.source]."
                                      : fmt::format("Names are case-sensitive here. Similar tables are: {}. Set resource in "
                                                    "[streams.source].",
                                                    fmt::join(similar, ", ")));
}

}  // namespace outboxx
