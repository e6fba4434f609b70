#include "start_jobs.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include "model/snapshot_job.h"
#include "model/snapshot_state.h"
#include "model/state_record.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

constexpr const char* kLeavesQuery = R"(
select c.oid
  from (select oid from pg_catalog.pg_class where relnamespace = pg_catalog.to_regnamespace($1) and relname = $2) t
 cross join lateral (select t.oid as leaf
                     union select relid::pg_catalog.oid from pg_catalog.pg_partition_tree(t.oid::pg_catalog.regclass)) l
  join pg_catalog.pg_class c on c.oid = l.leaf
 where c.relkind = 'r')";

}  // namespace

void queue_added_tables(std::span<const ReadTable> tables, SnapshotMode mode, StateRecord& state) {
  std::set<std::uint32_t> known;
  for (const TableSnapshot& table : state.snapshot.tables) {
    known.insert(table.oid);
  }
  const bool may_queue = state.jobs.watches_tables && mode == SnapshotMode::kInitial;
  for (const ReadTable& table : tables) {
    const bool is_known =
        table.leaves.empty() || std::ranges::any_of(table.leaves, [&](std::uint32_t oid) { return known.contains(oid); });
    if (!is_known && may_queue) {
      const auto id = state.jobs.add({.kind = JobKind::kAdded, .tables = {table.name}, .where = {}});
      log::info("the configuration has a new table: it is read while the stream goes on", {{"table", table.name}, {"job", id}});
    }
    for (const std::uint32_t oid : table.leaves) {
      if (known.insert(oid).second) {
        state.snapshot.tables.push_back({.oid = oid, .done = {}, .is_done = true});
      }
    }
  }
  std::ranges::sort(state.snapshot.tables, {}, &TableSnapshot::oid);
  state.jobs.watches_tables = true;
}

Result<> watch_tables(const PostgresOptions& options, std::span<const StreamConfig> streams, StateRecord& state,
                      Connection& sql, StopSignal stop) {
  if (state.snapshot.is_pending) {
    state.jobs.watches_tables = true;  // that snapshot reads whatever is not known
    return {};
  }
  std::vector<ReadTable> tables;
  for (const StreamConfig& stream : streams) {
    ReadTable table{.name = stream.schema + "." + stream.table, .leaves = {}};
    if (!stream.operations.read || std::ranges::find(tables, table.name, &ReadTable::name) != tables.end()) {
      continue;
    }
    const QueryResult found =
        TRY(sql.query(kLeavesQuery, {quote_sql_identifier(stream.schema), stream.table}, catalog_deadline(), stop));
    for (int row = 0; row < found.rows(); ++row) {
      table.leaves.push_back(found.number<std::uint32_t>(row, 0));
    }
    tables.push_back(std::move(table));
  }
  queue_added_tables(tables, options.snapshot.mode, state);
  return {};
}

}  // namespace outboxx
