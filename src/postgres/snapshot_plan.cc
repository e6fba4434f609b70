#include "postgres/snapshot_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/wait.h"
#include "model/relation.h"
#include "model/snapshot_state.h"
#include "model/stream.h"
#include "postgres/binary_text.h"
#include "postgres/connection.h"
#include "postgres/publication.h"
#include "postgres/relation_cache.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

constexpr int kVersionWithColumnLists = 150000;
constexpr int kVersionWithGeneratedColumns = 180000;
// All names in our statements have their schema. Those in a row filter have not, and a function of somebody else could stand
// before the server's: there the text of regclass and its like may have a schema that the stream's has not.
constexpr const char* kSafeSearchPath = "'pg_catalog'";

// The table itself, or the leaves of a partitioned one, as the transaction's snapshot has them; pg_partition_tree() would tell
// the present. What is being detached is no partition for the stream either (PostgreSQL: partition.c, get_partition_ancestors).
// Functions tell the present: null of a table that was dropped since.
constexpr const char* kLeavesQuery = R"(
with recursive tree (oid) as (
  select $1::pg_catalog.oid
  union all
  select i.inhrelid
    from tree t
    join pg_catalog.pg_inherits i on i.inhparent = t.oid and not i.inhdetachpending
    join pg_catalog.pg_class c on c.oid = i.inhrelid and c.relispartition)
select c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, pg_catalog.pg_relation_filenode(c.oid),
       pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::pg_catalog.int8,
       pg_catalog.pg_table_size(c.oid), greatest(c.reltuples, 0)::pg_catalog.int8,
       c.reltoastrelid <> 0 and pg_catalog.pg_relation_size(c.reltoastrelid) > 0,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') is null
  from tree t
  join pg_catalog.pg_class c on c.oid = t.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind <> 'p')";

// Of each type what it is a domain over, or itself: a domain's output function is that one's, and so are its binary values.
constexpr const char* kTypesQuery = R"(
with recursive step(type_oid, oid) as (
  select oid, oid from pg_catalog.pg_type where oid = any ($1::pg_catalog.oid[])
  union all
  select s.type_oid, t.typbasetype from step s join pg_catalog.pg_type t on t.oid = s.oid where t.typtype = 'd')
select s.type_oid, t.oid, tn.nspname, t.typname, pn.nspname, p.proname
  from step s
  join pg_catalog.pg_type t on t.oid = s.oid and t.typtype <> 'd'
  join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
  join pg_catalog.pg_proc p on p.oid = t.typoutput
  join pg_catalog.pg_namespace pn on pn.oid = p.pronamespace)";

bool is_true(const QueryResult& result, int row, int column) {
  return result.value(row, column) == "t";
}

std::vector<StreamConfig> reading_streams(std::span<const StreamConfig> streams) {
  std::vector<StreamConfig> reading;
  std::ranges::copy_if(streams, std::back_inserter(reading), [](const StreamConfig& stream) { return stream.operations.read; });
  return reading;
}

struct TypeState {
  std::uint32_t base_oid = 0;
  std::string base_name;        // quoted
  std::string output_function;  // quoted
};

// Passes: a new snapshot shows what is there now, and preflight says what is not.
Error gone(const std::string& table) {
  return {.code = ErrorCode::kPostgresUnreachable,
          .message = fmt::format("table \"{}\" was dropped or renamed while its snapshot was made", table),
          .hint = {},
          .sqlstate = {}};
}

// How the columns of a relation are selected.
class Selection {
 public:
  static Result<Selection> read(Connection& sql, const Relation& relation, std::string_view time_zone, StopSignal stop) {
    std::vector<std::uint32_t> oids;
    oids.reserve(relation.columns.size());
    for (const Column& column : relation.columns) {
      oids.push_back(column.type_oid);
    }
    const QueryResult found =
        TRY(sql.query(kTypesQuery, {fmt::format("{{{}}}", fmt::join(oids, ","))}, catalog_deadline(), stop));
    std::map<std::uint32_t, TypeState> type_states;
    for (int row = 0; row < found.rows(); ++row) {
      type_states[found.number<std::uint32_t>(row, 0)] = {
          .base_oid = found.number<std::uint32_t>(row, 1),
          .base_name = quote_sql_table(found.text(row, 2), found.text(row, 3)),
          .output_function = quote_sql_table(found.text(row, 4), found.text(row, 5))};
    }
    Selection selection;
    const BinaryTextFacts facts{.server_version = sql.server_version(), .time_zone = time_zone};
    for (const Column& column : relation.columns) {
      const auto type = type_states.find(column.type_oid);
      if (type == type_states.end()) {
        return fail(ErrorCode::kPostgresUnreachable,
                    fmt::format("could not find the type of column \"{}\" of table \"{}.{}\": it was changed meanwhile",
                                column.name, relation.schema, relation.name));
      }
      selection.add(column, type->second, facts);
    }
    return selection;
  }

  std::vector<const BinaryType*> types;
  std::vector<std::string> expressions;

 private:
  // textin(typoutput(column)) where the server must make the text, as binary_text.h says. A domain is cast to its base type,
  // because enum_out(anyenum) takes no domain.
  void add(const Column& column, const TypeState& type, const BinaryTextFacts& facts) {
    const std::string name = quote_sql_identifier(column.name);
    types.push_back(find_binary_type(type.base_oid, facts));
    if (types.back() != nullptr) {
      expressions.push_back(name);
      return;
    }
    const std::string value = type.base_oid == column.type_oid ? name : fmt::format("{}::{}", name, type.base_name);
    expressions.push_back(fmt::format("pg_catalog.textin({}({}))", type.output_function, value));
  }
};

// The search_path of the transaction up to now, which is the stream's, as a literal; from now on it is pg_catalog.
Result<std::string> take_search_path(Connection& sql, StopSignal stop) {
  const QueryResult search_path =
      TRY(sql.query("select pg_catalog.current_setting('search_path')", {}, catalog_deadline(), stop));
  TRY(sql.query("SET LOCAL search_path TO pg_catalog", {}, catalog_deadline(), stop));
  return sql.quote_literal(search_path.text(0, 0));
}

// Adds the leaves of one table of a stream.
class LeafReader {
 public:
  LeafReader(Connection& sql, std::string search_path, std::string time_zone, StopSignal stop)
      : sql_(sql), search_path_(std::move(search_path)), time_zone_(std::move(time_zone)), stop_(stop) {}

  Result<> add(const TableState& table, const PublishedTable& published, bool stream_tells_moves) {
    Relation relation = describe_relation(table, published, sql_.server_version());
    relation.version = next_relation_version();
    const Selection selection = TRY(Selection::read(sql_, relation, time_zone_, stop_));
    const QueryResult leaves = TRY(sql_.query(kLeavesQuery, {std::to_string(table.oid)}, catalog_deadline(), stop_));
    for (int row = 0; row < leaves.rows(); ++row) {
      if (leaves.value(row, 4) == "u") {
        continue;  // no change of it is in the WAL; preflight warns
      }
      TRY(check_leaf(leaves, row));
      tables.push_back({.oid = leaves.number<std::uint32_t>(row, 0),
                        .file_node = leaves.number<std::uint32_t>(row, 5),
                        .quoted_name = quote_sql_table(leaves.text(row, 1), leaves.text(row, 2)),
                        .blocks = leaves.number<std::uint32_t>(row, 6),
                        .bytes = leaves.number<std::uint64_t>(row, 7),
                        .estimated_rows = leaves.number<std::uint64_t>(row, 8),
                        .has_toast = is_true(leaves, row, 9),
                        .stream_tells_moves = stream_tells_moves,
                        .row_filter = published.row_filter,
                        .relation = relation,
                        .types = selection.types,
                        .expressions = selection.expressions,
                        .search_path = published.row_filter.empty() ? search_path_ : kSafeSearchPath});
    }
    return {};
  }

  std::vector<SnapshotTable> tables;

 private:
  // Preflight has said what to do about it; since then another partition may have come.
  static Result<> check_leaf(const QueryResult& leaves, int row) {
    const std::string name = leaves.text(row, 1) + "." + leaves.text(row, 2);
    if (is_true(leaves, row, 10)) {
      return std::unexpected(gone(name));
    }
    if (leaves.value(row, 3) == "f") {
      return fail(ErrorCode::kPostgresMisconfigured, fmt::format("cannot read foreign table \"{}\" for a snapshot", name),
                  "Detach the partition, or remove \"read\" from the operations of its table's streams.");
    }
    return {};
  }

  Connection& sql_;
  std::string search_path_;
  std::string time_zone_;
  StopSignal stop_;
};

std::string select_statement(const SnapshotTable& table, BlockRange range, const std::string& condition) {
  std::vector<std::string> conditions;
  if (range.begin > 0) {
    conditions.push_back(fmt::format("ctid OPERATOR(pg_catalog.>=) '({},0)'::pg_catalog.tid", range.begin));
  }
  if (range.end != BlockRange::kToTheEnd) {
    conditions.push_back(fmt::format("ctid OPERATOR(pg_catalog.<) '({},0)'::pg_catalog.tid", range.end));
  }
  if (!condition.empty()) {
    conditions.push_back(condition);
  }
  if (!table.row_filter.empty()) {
    conditions.push_back("(" + table.row_filter + ")");
  }
  return fmt::format(
      "SELECT pg_catalog.set_config('search_path', {}, true); COPY (SELECT {} FROM ONLY {}{}{}) TO STDOUT (FORMAT binary)",
      table.search_path, fmt::join(table.expressions, ", "), table.quoted_name, conditions.empty() ? "" : " WHERE ",
      fmt::join(conditions, " AND "));
}

}  // namespace

Result<std::vector<SnapshotTable>> read_snapshot_tables(Connection& sql, const std::string& publication,
                                                        std::span<const StreamConfig> streams, StopSignal stop) {
  const std::vector<StreamConfig> reading = reading_streams(streams);
  if (reading.empty()) {
    return {};
  }
  const std::string search_path = TRY(take_search_path(sql, stop));
  const std::optional<Publication> published = TRY(read_publication(sql, publication, reading, stop));
  if (!published) {
    return fail(ErrorCode::kPostgresMisconfigured, fmt::format("publication \"{}\" does not exist", publication));
  }
  const QueryResult time_zone = TRY(sql.query("select pg_catalog.current_setting('TimeZone')", {}, catalog_deadline(), stop));
  LeafReader reader(sql, search_path, time_zone.text(0, 0), stop);
  const std::vector<TableState> tables = TRY(read_tables(sql, reading, stop));
  const auto missing =
      std::ranges::find_if(reading, [&](const StreamConfig& stream) { return find_table(tables, stream) == nullptr; });
  if (missing != reading.end()) {
    return std::unexpected(gone(missing->schema + "." + missing->table));
  }
  for (const TableState& table : tables) {
    const PublishedTable* const found = published->find_table(table.schema, table.table);
    if (found == nullptr) {
      return fail(ErrorCode::kPostgresMisconfigured,
                  fmt::format("publication \"{}\" does not publish table \"{}.{}\"", publication, table.schema, table.table));
    }
    const bool stream_tells_moves = std::ranges::all_of(reading, [&table](const StreamConfig& stream) {
      return stream.schema != table.schema || stream.table != table.table ||
             (stream.operations.insert && stream.operations.update);
    });
    TRY(reader.add(table, *found, stream_tells_moves));
  }
  std::ranges::sort(reader.tables, {}, &SnapshotTable::oid);
  return std::move(reader.tables);
}

Relation describe_relation(const TableState& table, const PublishedTable& published, int server_version) {
  Relation relation{.oid = table.oid,
                    .schema = table.schema,
                    .name = table.table,
                    .replica_identity = table.identity.kind,
                    .columns = {},
                    .version = 0};
  // PostgreSQL 15 lists generated columns if there is no column list, and does not send them.
  const bool may_be_generated = published.has_column_list || server_version >= kVersionWithGeneratedColumns;
  for (const ColumnState& column : table.columns) {
    const bool is_listed = server_version < kVersionWithColumnLists ||
                           std::ranges::find(published.columns, column.name) != published.columns.end();
    if (is_listed && (!column.is_generated || may_be_generated)) {
      relation.columns.push_back({.name = column.name,
                                  .type_oid = column.type_oid,
                                  .type_modifier = column.type_modifier,
                                  .is_key = table.identity.carries(column.name)});
    }
  }
  return relation;
}

std::string lock_statement(std::span<const SnapshotTable> tables) {
  std::vector<std::string> names;
  for (const SnapshotTable& table : tables) {
    names.push_back("ONLY " + table.quoted_name);
  }
  return fmt::format("LOCK TABLE {} IN ACCESS SHARE MODE", fmt::join(names, ", "));
}

std::uint32_t blocks_per_chunk(const SnapshotTable& table, std::uint64_t chunk_bytes) {
  const std::uint64_t bytes_per_block = std::max<std::uint64_t>(table.bytes / std::max<std::uint64_t>(table.blocks, 1), 1);
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(chunk_bytes / bytes_per_block, 1, std::numeric_limits<std::int32_t>::max()));
}

std::string copy_statement(const SnapshotTable& table, BlockRange range) {
  return select_statement(table, range, "");
}

std::string copy_moved_statement(const SnapshotTable& table, BlockRange range, std::uint32_t xmin) {
  return select_statement(
      table, range, fmt::format("pg_catalog.age(xmin) OPERATOR(pg_catalog.<=) pg_catalog.age('{}'::pg_catalog.xid)", xmin));
}

}  // namespace outboxx
