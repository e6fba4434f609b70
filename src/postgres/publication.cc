#include "postgres/publication.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include "model/relation.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/preflight.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

constexpr std::string_view kDuplicateObject = "42710";

// pg_publication_tables knows column lists and row filters since 15. It does not list a partitioned table whose partitions are
// published under their own names; pg_publication_rel does. 15 lists generated columns as well, which are not published
// before 18.
constexpr const char* kTablesQuery14 = R"(
select t.schemaname, t.tablename, null, false, null
  from pg_catalog.pg_publication_tables t
 where t.pubname = $1 and (t.schemaname, t.tablename) in (select * from unnest($2::text[], $3::text[])))";
constexpr const char* kTablesQuery15 = R"(
select t.schemaname, t.tablename, t.rowfilter, exists (
         select from pg_catalog.pg_publication p
           join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
           join pg_catalog.pg_class c on c.oid = r.prrelid
           join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where p.pubname = t.pubname and n.nspname = t.schemaname and c.relname = t.tablename and r.prattrs is not null),
       a.attname
  from pg_catalog.pg_publication_tables t
  left join lateral unnest(t.attnames) a(attname)
    on pg_catalog.current_setting('server_version_num')::int >= 180000 or not exists (
         select from pg_catalog.pg_attribute g
           join pg_catalog.pg_class c on c.oid = g.attrelid
           join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where n.nspname = t.schemaname and c.relname = t.tablename and g.attname = a.attname and g.attgenerated <> '')
 where t.pubname = $1 and (t.schemaname, t.tablename) in (select * from unnest($2::text[], $3::text[])))";
constexpr const char* kPartitionedMembersQuery = R"(
union all
select n.nspname, c.relname, null, false, null
  from pg_catalog.pg_publication p
  join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
  join pg_catalog.pg_class c on c.oid = r.prrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where p.pubname = $1 and not p.pubviaroot and c.relkind = 'p'
   and (n.nspname, c.relname) in (select * from unnest($2::text[], $3::text[]))
 order by 1, 2)";

std::string array_text(std::span<const StreamConfig> streams, std::string StreamConfig::* member) {
  std::vector<std::string> values;
  std::ranges::transform(streams, std::back_inserter(values), member);
  return quote_sql_array(values);
}

Result<std::vector<PublishedTable>> read_published_tables(Connection& sql, const std::string& name,
                                                          std::span<const StreamConfig> streams, StopSignal stop) {
  const std::string query =
      std::string(sql.server_version() >= 150000 ? kTablesQuery15 : kTablesQuery14) + kPartitionedMembersQuery;
  const QueryResult result =
      TRY(sql.query(query, {name, array_text(streams, &StreamConfig::schema), array_text(streams, &StreamConfig::table)},
                    catalog_deadline(), stop));
  std::vector<PublishedTable> tables;
  for (int row = 0; row < result.rows(); ++row) {
    if (tables.empty() || tables.back().schema != result.value(row, 0) || tables.back().table != result.value(row, 1)) {
      tables.push_back({.schema = result.text(row, 0),
                        .table = result.text(row, 1),
                        .has_column_list = result.value(row, 3) == "t",
                        .columns = {},
                        .row_filter = result.text(row, 2)});
    }
    if (const auto column = result.value(row, 4)) {
      tables.back().columns.emplace_back(*column);
    }
  }
  return tables;
}

std::string operation_list(bool inserts, bool updates, bool deletes, bool truncates) {
  std::vector<std::string_view> names;
  if (inserts) {
    names.emplace_back("insert");
  }
  if (updates) {
    names.emplace_back("update");
  }
  if (deletes) {
    names.emplace_back("delete");
  }
  if (truncates) {
    names.emplace_back("truncate");
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// One publication against the streams; collects what it finds.
class PublicationCheck {
 public:
  explicit PublicationCheck(const Publication& publication)
      : publication_(publication), statement_("ALTER PUBLICATION " + quote_sql_identifier(publication.name)) {}

  void check_all_tables() {
    if (publication_.for_all_tables) {
      add(Check::Status::kWarned, fmt::format("publication \"{}\" is FOR ALL TABLES", publication_.name),
          "UPDATE and DELETE fail for the application on every table of the database that has no replica identity, tables "
          "that are created later included, and changes of all tables are decoded only to be thrown away. A publication that "
          "lists the streams' tables has neither problem.");
    }
  }

  void check_operations(const OperationSet& wanted) {
    const Publication& p = publication_;
    const std::string missing = operation_list(wanted.insert && !p.publishes_insert, wanted.update && !p.publishes_update,
                                               wanted.remove && !p.publishes_delete, false);
    if (!missing.empty()) {
      add(Check::Status::kFailed, fmt::format("publication \"{}\" does not publish {}, which streams ask for", p.name, missing),
          fmt::format("Run: {} SET (publish = '{}');", statement_,
                      operation_list(wanted.insert || p.publishes_insert, wanted.update || p.publishes_update,
                                     wanted.remove || p.publishes_delete, p.publishes_truncate)));
    }
  }

  void check_table(const TableState& table, std::span<const TableState> tables, std::span<const StreamConfig> streams) {
    if (auto nesting = check_nesting(table, tables)) {
      checks_.push_back(*std::move(nesting));
      return;
    }
    const PublishedTable* published = publication_.find_table(table.schema, table.table);
    const bool by_partitions = table.is_partitioned() && !publication_.via_partition_root;
    if (published == nullptr && !(publication_.for_all_tables && by_partitions)) {
      report_missing_table(table);
    }
    if (by_partitions) {
      add(Check::Status::kFailed,
          fmt::format("publication \"{}\" publishes the partitions of table \"{}.{}\" under their own names, not the table",
                      publication_.name, table.schema, table.table),
          is_below_all_tables(table) ? fmt::format("Set publication_name {}", other_publication(table))
                                     : fmt::format("Run: {} SET (publish_via_partition_root = true);", statement_));
    }
    if (published != nullptr && !published->row_filter.empty()) {
      add(Check::Status::kWarned,
          fmt::format("publication \"{}\" has a row filter on table \"{}.{}\": rows that it excludes are not streamed",
                      publication_.name, table.schema, table.table),
          {});
    }
    if (published != nullptr && published->has_column_list) {
      check_columns(table, *published, streams);
    }
  }

  [[nodiscard]] std::vector<Check> take() { return std::move(checks_); }

 private:
  void add(Check::Status status, std::string message, std::string hint) {
    checks_.push_back({.name = "publication",
                       .status = status,
                       .code = ErrorCode::kPostgresMisconfigured,
                       .message = std::move(message),
                       .hint = std::move(hint)});
  }

  // FOR ALL TABLES always has the root, and publish_via_partition_root then means the root.
  [[nodiscard]] bool is_below_all_tables(const TableState& table) const {
    return publication_.for_all_tables && !table.partition_root.empty();
  }

  [[nodiscard]] static std::string other_publication(const TableState& table) {
    return fmt::format(
        "in [source.postgres] to a publication without \"{}\", FOR TABLE ONLY {} WITH (publish_via_partition_root = true).",
        table.partition_root, quote_sql_table(table.schema, table.table));
  }

  void report_missing_table(const TableState& table) {
    if (!table.partition_root.empty() && publication_.via_partition_root) {
      add(Check::Status::kFailed,
          fmt::format("publication \"{}\" does not publish table \"{}.{}\" under its own name: it is a partition of \"{}\"",
                      publication_.name, table.schema, table.table, table.partition_root),
          is_below_all_tables(table)
              ? fmt::format("Name \"{}\" as the stream's resource, or set publication_name {}", table.partition_root,
                            other_publication(table))
              : fmt::format(
                    "Name \"{}\" as the stream's resource if the publication has it, or add the partition to a publication "
                    "without its partitioned table: {} ADD TABLE ONLY {};",
                    table.partition_root, statement_, quote_sql_table(table.schema, table.table)));
      return;
    }
    add(Check::Status::kFailed,
        fmt::format("publication \"{}\" does not publish table \"{}.{}\"", publication_.name, table.schema, table.table),
        fmt::format("Run: {} ADD TABLE ONLY {};", statement_, quote_sql_table(table.schema, table.table)));
  }

  // A column list keeps columns from us. The server also refuses UPDATE and DELETE on a table whose column list lacks a column
  // of the replica identity (publicationcmds.c, pub_rf_contains_invalid_column). Without a list nothing is missing: table and
  // publication were read one after the other, and a column that is in one of them alone was dropped or renamed meanwhile.
  void check_columns(const TableState& table, const PublishedTable& published, std::span<const StreamConfig> streams) {
    std::vector<std::string> missing;
    const auto require_column = [&](const std::string& name, std::string_view role) {
      const ColumnState* column = table.find_column(name);
      const auto is_named = [&](const auto& names) { return std::ranges::find(names, name) != names.end(); };
      if (column == nullptr || column->is_generated || is_named(published.columns) || is_named(missing)) {
        return;
      }
      missing.push_back(name);
      add(Check::Status::kFailed,
          fmt::format("publication \"{}\" does not publish column \"{}\" of table \"{}.{}\", {}", publication_.name, name,
                      table.schema, table.table, role),
          {});
    };
    for (const StreamConfig& stream : streams) {
      if (stream.schema == table.schema && stream.table == table.table) {
        require_column(stream.routing_key, fmt::format("the routing_key of stream \"{}\"", stream.name));
      }
    }
    if (publication_.publishes_update || publication_.publishes_delete) {
      const bool is_full = table.identity.kind == ReplicaIdentity::kFull;
      for (const ColumnState& column : table.columns) {
        if (is_full || std::ranges::find(table.identity.columns, column.name) != table.identity.columns.end()) {
          require_column(column.name, "which is part of its replica identity: UPDATE and DELETE on the table fail");
        }
      }
    }
    if (!missing.empty()) {
      checks_.back().hint = column_list_hint(table, published, missing);
    }
  }

  [[nodiscard]] std::string column_list_hint(const TableState& table, const PublishedTable& published,
                                             std::span<const std::string> missing) const {
    std::vector<std::string> columns;
    for (const ColumnState& column : table.columns) {
      const auto is_in = [&](const auto& names) { return std::ranges::find(names, column.name) != names.end(); };
      if (is_in(published.columns) || is_in(missing)) {
        columns.push_back(quote_sql_identifier(column.name));
      }
    }
    const std::string name = quote_sql_table(table.schema, table.table);
    return fmt::format("Run: BEGIN; {0} DROP TABLE ONLY {1}; {0} ADD TABLE ONLY {1} ({2}); COMMIT;{3}", statement_, name,
                       fmt::join(columns, ", "),
                       !published.row_filter.empty() ? " Repeat the row filter (WHERE ...) in the ADD TABLE." : "");
  }

  const Publication& publication_;
  std::string statement_;
  std::vector<Check> checks_;
};

// Without the warnings: they are preflight's, and would be there twice.
Result<> require_fit(const Publication& publication, std::span<const StreamConfig> streams,
                     std::span<const TableState> tables) {
  std::vector<Check> checks = check_publication(publication, streams, tables);
  std::erase_if(checks, [](const Check& check) { return check.status != Check::Status::kFailed; });
  return require(checks);
}

Result<> create_publication(Connection& sql, const std::string& name, std::span<const StreamConfig> streams,
                            std::span<const TableState> tables, StopSignal stop) {
  auto created = sql.query(create_publication_statement(name, streams, tables), {}, catalog_deadline(), stop);
  if (created) {
    log::info("created publication", {{"publication", name}, {"tables", tables.size()}});
  } else if (created.error().sqlstate != kDuplicateObject) {  // else another instance was faster
    return fail_with_context(fmt::format("could not create publication \"{}\"", name), std::move(created).error());
  }
  const auto existing = TRY(read_publication(sql, name, streams, stop));
  if (!existing) {
    return fail(ErrorCode::kPostgresMisconfigured, fmt::format("publication \"{}\" was dropped while we started", name), {});
  }
  return require_fit(*existing, streams, tables);
}

}  // namespace

Result<> ensure_publication(Connection& sql, const PostgresOptions& options, std::span<const StreamConfig> streams,
                            StopSignal stop) {
  const std::string& name = options.publication_name;
  const std::vector<TableState> tables = TRY(read_tables(sql, streams, stop));
  if (const auto existing = TRY(read_publication(sql, name, streams, stop))) {
    return require_fit(*existing, streams, tables);
  }
  switch (options.publication_mode) {
    case PublicationMode::kCreate:
      return create_publication(sql, name, streams, tables, stop);
    case PublicationMode::kExisting:
      return fail(ErrorCode::kPostgresMisconfigured, fmt::format("publication \"{}\" does not exist", name),
                  fmt::format("Run: {};", create_publication_statement(name, streams, tables)));
  }
  return {};
}

Result<std::optional<Publication>> read_publication(Connection& sql, const std::string& name,
                                                    std::span<const StreamConfig> streams, StopSignal stop) {
  const QueryResult result =
      TRY(sql.query("select puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot "
                    "from pg_catalog.pg_publication where pubname = $1",
                    {name}, catalog_deadline(), stop));
  if (result.rows() == 0) {
    return std::nullopt;
  }
  const auto flag = [&result](int column) { return result.value(0, column) == "t"; };
  Publication publication{.name = name,
                          .for_all_tables = flag(0),
                          .publishes_insert = flag(1),
                          .publishes_update = flag(2),
                          .publishes_delete = flag(3),
                          .publishes_truncate = flag(4),
                          .via_partition_root = flag(5),
                          .tables = {}};
  publication.tables = TRY(read_published_tables(sql, name, streams, stop));
  return publication;
}

std::vector<Check> check_publication(const Publication& publication, std::span<const StreamConfig> streams,
                                     std::span<const TableState> tables) {
  PublicationCheck check(publication);
  check.check_all_tables();
  check.check_operations(operations_of(streams));
  for (const TableState& table : tables) {
    check.check_table(table, tables, streams);
  }
  std::vector<Check> checks = check.take();
  if (std::ranges::none_of(checks, [](const Check& found) { return found.status == Check::Status::kFailed; })) {
    checks.push_back(
        {.name = "publication",
         .message = fmt::format("publication \"{}\" publishes the tables and operations of all streams", publication.name),
         .hint = {}});
  }
  return checks;
}

std::optional<Check> check_nesting(const TableState& table, std::span<const TableState> tables) {
  const auto above = std::ranges::find_if(
      tables, [&](const TableState& other) { return std::ranges::find(table.ancestors, other.oid) != table.ancestors.end(); });
  if (above == tables.end()) {
    return std::nullopt;
  }
  const std::string name = fmt::format("{}.{}", table.schema, table.table);
  const std::string name_above = fmt::format("{}.{}", above->schema, above->table);
  return failed_check("publication",
                      fmt::format("table \"{0}\" is a partition of \"{1}\", and both have streams: in one publication its "
                                  "changes come under the name of \"{1}\" alone",
                                  name, name_above),
                      fmt::format("Remove the streams of one of them, or give \"{}\" a configuration of its own, with another "
                                  "slot and another publication.",
                                  name));
}

std::string create_publication_statement(std::string_view name, std::span<const StreamConfig> streams,
                                         std::span<const TableState> tables) {
  std::vector<std::string> names;
  for (const StreamConfig& stream : streams) {
    std::string quoted = "ONLY " + quote_sql_table(stream.schema, stream.table);
    if (std::ranges::find(names, quoted) == names.end()) {
      names.push_back(std::move(quoted));
    }
  }
  const OperationSet wanted = operations_of(streams);
  // Not set where it changes nothing: it is one thing less to wonder about in \dRp.
  const bool needs_root = std::ranges::any_of(tables, &TableState::is_partitioned);
  return fmt::format("CREATE PUBLICATION {} FOR TABLE {} WITH (publish = '{}'{})", quote_sql_identifier(name),
                     fmt::join(names, ", "), operation_list(wanted.insert, wanted.update, wanted.remove, false),
                     needs_root ? ", publish_via_partition_root = true" : "");
}

Result<std::vector<TableState>> read_tables(Connection& sql, std::span<const StreamConfig> streams, StopSignal stop) {
  std::vector<TableState> tables;
  for (const StreamConfig& stream : streams) {
    if (find_table(tables, stream) != nullptr) {
      continue;
    }
    if (auto table = TRY(read_table(sql, stream.schema, stream.table, stop))) {
      tables.push_back(*std::move(table));
    }
  }
  return tables;
}

const TableState* find_table(std::span<const TableState> tables, const StreamConfig& stream) {
  const auto found = std::ranges::find_if(
      tables, [&](const TableState& table) { return table.schema == stream.schema && table.table == stream.table; });
  return found == tables.end() ? nullptr : &*found;
}

OperationSet operations_of(std::span<const StreamConfig> streams) {
  OperationSet all;
  for (const StreamConfig& stream : streams) {
    all.insert |= stream.operations.insert;
    all.update |= stream.operations.update;
    all.remove |= stream.operations.remove;
    all.read |= stream.operations.read;
  }
  return all;
}

const PublishedTable* Publication::find_table(std::string_view schema, std::string_view table) const {
  const auto found = std::ranges::find_if(
      tables, [&](const PublishedTable& published) { return published.schema == schema && published.table == table; });
  return found == tables.end() ? nullptr : &*found;
}

}  // namespace outboxx
