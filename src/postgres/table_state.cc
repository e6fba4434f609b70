#include "postgres/table_state.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "model/relation.h"
#include "postgres/connection.h"

namespace outboxx {
namespace {

constexpr auto kCatalogTimeout = std::chrono::seconds(30);

constexpr const char* kTableQuery = R"(
select c.oid, c.relkind, c.relpersistence, pg_catalog.pg_get_userbyid(c.relowner),
       pg_catalog.pg_has_role(c.relowner, 'USAGE'),
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') and pg_catalog.has_table_privilege(c.oid, 'SELECT'),
       pg_catalog.row_security_active(c.oid),
       (select rn.nspname || '.' || rc.relname
          from pg_catalog.pg_class rc join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
         where c.relispartition and rc.oid = pg_catalog.pg_partition_root(c.oid)),
       current_user
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where n.nspname = $1 and c.relname = $2)";

constexpr const char* kColumnsQuery = R"(
select attname, attgenerated <> '', atttypid, atttypmod from pg_catalog.pg_attribute
 where attrelid = $1::pg_catalog.oid and attnum > 0 and not attisdropped order by attnum)";

// One row per identity column, the table itself first; a null column where there is none. An index serves only if it is valid,
// immediate (not a deferrable constraint) and by its key columns, not by those of INCLUDE (relcache.c, RelationGetIndexList).
constexpr const char* kIdentityQuery = R"(
select c.oid = $1::pg_catalog.oid, n.nspname, c.relname, c.relreplident, a.attname
  from (select $1::pg_catalog.oid as oid
        union select relid::pg_catalog.oid from pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) where isleaf) r
  join pg_catalog.pg_class c on c.oid = r.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_index i
    on i.indrelid = c.oid and i.indisvalid and i.indimmediate
   and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end
  left join pg_catalog.pg_attribute a
    on a.attrelid = c.oid and a.attnum = any ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1])
 order by 1 desc, n.nspname, c.relname, c.oid, a.attnum)";

constexpr const char* kAncestorsQuery = R"(
select relid::pg_catalog.oid from pg_catalog.pg_partition_ancestors($1::pg_catalog.oid::pg_catalog.regclass)
 where relid <> $1::pg_catalog.oid)";

constexpr const char* kOddLeavesQuery = R"(
select * from (
  select n.nspname, c.relname, c.relkind, c.relpersistence,
         pg_catalog.has_schema_privilege(n.oid, 'USAGE') and pg_catalog.has_table_privilege(c.oid, 'SELECT') as is_readable,
         pg_catalog.row_security_active(c.oid) as has_row_security
    from pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) t
    join pg_catalog.pg_class c on c.oid = t.relid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where t.isleaf) leaf
 where relkind <> 'r' or relpersistence <> 'p' or not is_readable or has_row_security
 order by relkind = 'f' desc, is_readable, 1, 2
 limit 20)";

// What snapshot_plan.cc names: the output function, and the type that a domain is over. Generated columns are published from 18
// on.
constexpr const char* kClosedSchemasQuery = R"(
with recursive step(attname, oid, is_domain) as (
  select attname, atttypid, false
    from pg_catalog.pg_attribute
   where attrelid = $1::pg_catalog.oid and attnum > 0 and not attisdropped
     and (attgenerated = '' or pg_catalog.current_setting('server_version_num')::pg_catalog.int4 >= 180000)
  union all
  select s.attname, t.typbasetype, true from step s join pg_catalog.pg_type t on t.oid = s.oid where t.typtype = 'd')
select n.nspname, s.attname
  from step s
  join pg_catalog.pg_type t on t.oid = s.oid and t.typtype <> 'd'
  join pg_catalog.pg_proc p on p.oid = t.typoutput
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace or (s.is_domain and n.oid = t.typnamespace)
 where not pg_catalog.has_schema_privilege(n.oid, 'USAGE')
 order by 1, 2)";

constexpr const char* kSimilarQuery = R"(
select n.nspname || '.' || c.relname
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
   and (pg_catalog.starts_with(pg_catalog.lower(c.relname), pg_catalog.lower($2))
        or pg_catalog.starts_with(pg_catalog.lower($2), pg_catalog.lower(c.relname)))
 order by pg_catalog.lower(c.relname) <> pg_catalog.lower($2), n.nspname <> $1, 1
 limit 5)";

bool is_true(const QueryResult& result, int row, int column) {
  return result.value(row, column) == "t";
}

ReplicaIdentity to_replica_identity(std::string_view letter) {
  if (letter == "f") {
    return ReplicaIdentity::kFull;
  }
  if (letter == "i") {
    return ReplicaIdentity::kIndex;
  }
  return letter == "n" ? ReplicaIdentity::kNothing : ReplicaIdentity::kDefault;
}

Result<> read_identities(Connection& sql, const std::string& oid, TableState& state, StopSignal stop) {
  const QueryResult result = TRY(sql.query(kIdentityQuery, {oid}, catalog_deadline(), stop));
  for (int row = 0; row < result.rows(); ++row) {
    const IdentityState identity{.schema = result.text(row, 1),
                                 .table = result.text(row, 2),
                                 .kind = to_replica_identity(result.text(row, 3)),
                                 .columns = {}};
    IdentityState* target = &state.identity;
    if (is_true(result, row, 0)) {
      if (row == 0) {
        state.identity = identity;
      }
    } else {
      if (state.leaves.empty() || state.leaves.back().schema != identity.schema ||
          state.leaves.back().table != identity.table) {
        state.leaves.push_back(identity);
      }
      target = &state.leaves.back();
    }
    if (const auto column = result.value(row, 4)) {
      target->columns.emplace_back(*column);
    }
  }
  return {};
}

Result<std::vector<std::uint32_t>> read_ancestors(Connection& sql, const std::string& oid, StopSignal stop) {
  const QueryResult result = TRY(sql.query(kAncestorsQuery, {oid}, catalog_deadline(), stop));
  std::vector<std::uint32_t> ancestors;
  ancestors.reserve(static_cast<std::size_t>(result.rows()));
  for (int row = 0; row < result.rows(); ++row) {
    ancestors.push_back(result.number<std::uint32_t>(row, 0));
  }
  return ancestors;
}

Result<std::vector<LeafState>> read_odd_leaves(Connection& sql, const std::string& oid, StopSignal stop) {
  const QueryResult result = TRY(sql.query(kOddLeavesQuery, {oid}, catalog_deadline(), stop));
  std::vector<LeafState> leaves;
  leaves.reserve(static_cast<std::size_t>(result.rows()));
  for (int row = 0; row < result.rows(); ++row) {
    leaves.push_back({.schema = result.text(row, 0),
                      .table = result.text(row, 1),
                      .kind = result.text(row, 2).at(0),
                      .persistence = result.text(row, 3).at(0),
                      .is_readable = is_true(result, row, 4),
                      .has_row_security = is_true(result, row, 5)});
  }
  return leaves;
}

Result<std::vector<ClosedSchema>> read_closed_schemas(Connection& sql, const std::string& oid, StopSignal stop) {
  const QueryResult result = TRY(sql.query(kClosedSchemasQuery, {oid}, catalog_deadline(), stop));
  std::vector<ClosedSchema> schemas;
  schemas.reserve(static_cast<std::size_t>(result.rows()));
  for (int row = 0; row < result.rows(); ++row) {
    schemas.push_back({.schema = result.text(row, 0), .column = result.text(row, 1)});
  }
  return schemas;
}

}  // namespace

Result<std::optional<TableState>> read_table(Connection& sql, const std::string& schema, const std::string& table,
                                             StopSignal stop) {
  const QueryResult found = TRY(sql.query(kTableQuery, {schema, table}, catalog_deadline(), stop));
  if (found.rows() == 0) {
    return std::nullopt;
  }
  const std::string oid = found.text(0, 0);
  TableState state{.schema = schema,
                   .table = table,
                   .oid = found.number<std::uint32_t>(0, 0),
                   .kind = found.text(0, 1).at(0),
                   .persistence = found.text(0, 2).at(0),
                   .owner = found.text(0, 3),
                   .asking_role = found.text(0, 8),
                   .is_owned = is_true(found, 0, 4),
                   .is_readable = is_true(found, 0, 5),
                   .has_row_security = is_true(found, 0, 6),
                   .partition_root = found.text(0, 7),
                   .columns = {},
                   .identity = {},
                   .leaves = {}};
  const QueryResult columns = TRY(sql.query(kColumnsQuery, {oid}, catalog_deadline(), stop));
  for (int row = 0; row < columns.rows(); ++row) {
    state.columns.push_back({.name = columns.text(row, 0),
                             .is_generated = is_true(columns, row, 1),
                             .type_oid = columns.number<std::uint32_t>(row, 2),
                             .type_modifier = columns.number<std::int32_t>(row, 3)});
  }
  TRY(read_identities(sql, oid, state, stop));
  if (!state.partition_root.empty()) {
    state.ancestors = TRY(read_ancestors(sql, oid, stop));
  }
  if (state.is_partitioned()) {
    state.odd_leaves = TRY(read_odd_leaves(sql, oid, stop));
  }
  state.closed_schemas = TRY(read_closed_schemas(sql, oid, stop));
  return state;
}

Result<std::vector<std::string>> find_similar_tables(Connection& sql, const std::string& schema, const std::string& table,
                                                     StopSignal stop) {
  const QueryResult found = TRY(sql.query(kSimilarQuery, {schema, table}, catalog_deadline(), stop));
  std::vector<std::string> names;
  names.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) {
    names.push_back(found.text(row, 0));
  }
  return names;
}

bool IdentityState::carries(std::string_view column) const {
  return kind == ReplicaIdentity::kFull || std::ranges::find(columns, column) != columns.end();
}

const ColumnState* TableState::find_column(std::string_view name) const {
  const auto found = std::ranges::find(columns, name, &ColumnState::name);
  return found == columns.end() ? nullptr : &*found;
}

std::string quote_sql_table(std::string_view schema, std::string_view table) {
  return quote_sql_identifier(schema) + "." + quote_sql_identifier(table);
}

TimePoint catalog_deadline() {
  return Clock::now() + kCatalogTimeout;
}

}  // namespace outboxx
