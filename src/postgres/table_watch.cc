#include "postgres/table_watch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

constexpr int kVersionWithSchemas = 150000;  // FOR TABLES IN SCHEMA

// By name and oid: pg_publication_tables would look at each table of the publication. Whether it is published under its own
// name depends on what it is a partition of (PostgreSQL: pgoutput.c, get_rel_sync_entry).
constexpr std::string_view kQuery = R"(
select coalesce(c.oid, 0), p.oid is not null and is_published and p.pubinsert,
       p.oid is not null and is_published and p.pubupdate, p.oid is not null and is_published and p.pubdelete,
       (select fn.nspname || '.' || f.relname
          from pg_catalog.pg_class f join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
         where f.oid = w.known)
  from unnest($2::pg_catalog.name[], $3::pg_catalog.name[], $4::pg_catalog.oid[]) with ordinality w(schema, name, known, place)
  left join pg_catalog.pg_namespace n on n.nspname = w.schema
  left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = w.name
  left join pg_catalog.pg_publication p on p.pubname = $1
 cross join lateral (
       select coalesce(bool_or(is_member) filter (where m.oid = c.oid), false) as itself,
              coalesce(bool_or(is_member) filter (where m.oid <> c.oid), false) as above
         from (select a.oid, p.puballtables
                      or exists (select from pg_catalog.pg_publication_rel r where r.prpubid = p.oid and r.prrelid = a.oid)
                      {} as is_member
                 from (select c.oid
                       union select relid from pg_catalog.pg_partition_ancestors(c.oid) where c.relispartition) a) m) m
 cross join lateral (
       select c.relpersistence = 'p'
              and case when p.pubviaroot then m.itself and not m.above
                       else c.relkind <> 'p' and (m.itself or m.above) end as is_published) published
 order by w.place)";
constexpr std::string_view kSchemaMembership = R"(
                      or exists (select from pg_catalog.pg_publication_namespace s
                                  where s.pnpubid = p.oid
                                    and s.pnnspid = (select t.relnamespace from pg_catalog.pg_class t where t.oid = a.oid)))";

std::string watch_query(int server_version) {
  return fmt::format(kQuery, server_version >= kVersionWithSchemas ? kSchemaMembership : "");
}

std::string name_array(std::span<const WatchedTable> tables, std::string WatchedTable::* member) {
  std::vector<std::string> names;
  std::ranges::transform(tables, std::back_inserter(names), member);
  return quote_sql_array(names);
}

std::string oid_array(std::span<const WatchedTable> tables) {
  std::vector<std::uint32_t> oids;
  std::ranges::transform(tables, std::back_inserter(oids), &WatchedTable::oid);
  return fmt::format("{{{}}}", fmt::join(oids, ","));
}

std::string operations_lost(const OperationSet& before, const OperationSet& now) {
  std::vector<std::string_view> lost;
  if (before.insert && !now.insert) {
    lost.emplace_back("insert");
  }
  if (before.update && !now.update) {
    lost.emplace_back("update");
  }
  if (before.remove && !now.remove) {
    lost.emplace_back("delete");
  }
  return fmt::format("{}", fmt::join(lost, ", "));
}

bool is_published(const OperationSet& published) {
  return published.insert || published.update || published.remove;
}

// Empty: nothing that matters.
std::string describe_change(const std::string& publication, const WatchedTable& before, const WatchedTable& now) {
  const std::string name = fmt::format("table \"{}.{}\"", before.schema, before.table);
  if (now.oid == 0) {
    return now.former_name.empty() ? "" : fmt::format("{} was renamed to \"{}\"", name, now.former_name);
  }
  if (now.oid != before.oid) {
    return now.former_name.empty() ? fmt::format("{} was dropped and created again", name)
                                   : fmt::format("{} was replaced by another one and is \"{}\" now", name, now.former_name);
  }
  const std::string lost = operations_lost(before.published, now.published);
  return lost.empty() ? ""
                      : fmt::format("publication \"{}\" does not publish {}{} any more", publication,
                                    is_published(now.published) ? lost + " of " : "", name);
}

}  // namespace

TableWatch::TableWatch(std::string publication, std::vector<WatchedTable> tables)
    : publication_(std::move(publication)), tables_(std::move(tables)) {}

Result<TableWatch> TableWatch::begin(Connection& sql, const std::string& publication, std::span<const StreamConfig> streams,
                                     StopSignal stop) {
  std::vector<WatchedTable> tables;
  for (const StreamConfig& stream : streams) {
    const auto is_same = [&](const WatchedTable& known) {
      return known.schema == stream.schema && known.table == stream.table;
    };
    if (std::ranges::none_of(tables, is_same)) {
      tables.push_back({.schema = stream.schema, .table = stream.table});
    }
  }
  TableWatch watch(publication, std::move(tables));
  TRY(watch.ask(sql));
  watch.tables_ = watch.parse(TRY(sql.await_result(catalog_deadline(), stop)));
  return watch;
}

Result<> TableWatch::ask(Connection& sql) const {
  return sql.start_query(watch_query(sql.server_version()), {publication_, name_array(tables_, &WatchedTable::schema),
                                                             name_array(tables_, &WatchedTable::table), oid_array(tables_)});
}

std::vector<WatchedTable> TableWatch::parse(const QueryResult& answer) const {
  CHECK(static_cast<std::size_t>(answer.rows()) == tables_.size());
  std::vector<WatchedTable> now;
  now.reserve(tables_.size());
  for (int row = 0; row < answer.rows(); ++row) {
    const auto flag = [&](int column) { return answer.value(row, column) == "t"; };
    const WatchedTable& table = tables_[static_cast<std::size_t>(row)];
    now.push_back({.schema = table.schema,
                   .table = table.table,
                   .oid = answer.number<std::uint32_t>(row, 0),
                   .published = {.insert = flag(1), .update = flag(2), .remove = flag(3)},
                   .former_name = answer.text(row, 4)});
  }
  return now;
}

Result<> TableWatch::compare(std::span<const WatchedTable> now) {
  for (std::size_t index = 0; index < tables_.size(); ++index) {
    WatchedTable& table = tables_[index];
    const std::string change = describe_change(publication_, table, now[index]);
    if (!change.empty()) {
      return fail(ErrorCode::kPostgresUnreachable, change,
                  "What was written to a table while the publication did not have it is missing from the stream.");
    }
    if (table.oid != 0 && now[index].oid == 0) {
      table.oid = 0;
      log::warn(fmt::format("table \"{}.{}\" was dropped", table.schema, table.table), {});
    }
  }
  return {};
}

}  // namespace outboxx
