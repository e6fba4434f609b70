#include "postgres/snapshot_point.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/slot.h"
#include "postgres/snapshot_plan.h"
#include "postgres/snapshot_reader.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

constexpr std::size_t kSlotNameMax = 63;  // NAMEDATALEN - 1
constexpr std::string_view kSuffix = "_snapshot";
// For all locks of a snapshot; the server gives up first.
constexpr std::chrono::seconds kLockTimeout{30};
constexpr const char* kServerLockTimeout = "SET LOCAL lock_timeout = '5s'";

// pg_class is read in the snapshot, pg_relation_filenode() tells the present: they differ if the table was rewritten or
// truncated in between. Under the lock, "in between" is over. One that was created since is not in the snapshot at all.
Result<> check_not_rewritten(Connection& sql, std::span<const SnapshotTable> tables, StopSignal stop) {
  std::vector<std::uint32_t> oids;
  for (const SnapshotTable& table : tables) {
    oids.push_back(table.oid);
  }
  const QueryResult found =
      TRY(sql.query("select oid from pg_catalog.pg_class where oid = any ($1::pg_catalog.oid[]) "
                    "and relfilenode = pg_catalog.pg_relation_filenode(oid)",
                    {fmt::format("{{{}}}", fmt::join(oids, ","))}, catalog_deadline(), stop));
  for (int row = 0; row < found.rows(); ++row) {
    std::erase(oids, found.number<std::uint32_t>(row, 0));
  }
  if (oids.empty()) {
    return {};
  }
  const auto changed = std::ranges::find(tables, oids.front(), &SnapshotTable::oid);
  return fail(ErrorCode::kPostgresUnreachable,
              fmt::format("table {} was rewritten or truncated while its snapshot was made", changed->quoted_name));
}

}  // namespace

Result<> lock_tables(Connection& sql, std::span<const SnapshotTable> tables, StopSignal stop) {
  if (tables.empty()) {
    return {};
  }
  auto locked = sql.query(lock_statement(tables), {}, Clock::now() + kLockTimeout, stop);
  if (!locked) {
    return fail_with_context("could not lock the tables of the snapshot", snapshot_error(std::move(locked).error()));
  }
  return check_not_rewritten(sql, tables, stop);
}

std::string temporary_slot_name(const std::string& slot_name) {
  return slot_name.substr(0, kSlotNameMax - kSuffix.size()).append(kSuffix);
}

Result<SnapshotPoint> make_snapshot_point(Connection& replication, Connection& sql, const std::string& slot_name,
                                          StopSignal stop) {
  const std::string name = temporary_slot_name(slot_name);
  auto created = create_slot(replication, sql, {.name = name, .is_temporary = true, .exports_snapshot = true}, stop);
  if (!created) {
    return fail_with_context(fmt::format("could not create temporary replication slot \"{}\"", name),
                             snapshot_error(std::move(created).error()));
  }
  return SnapshotPoint{.lsn = created->consistent_point, .snapshot = std::move(created->snapshot)};
}

// One transaction that holds the locks is enough, and a thousand tables times sixteen readers would not fit into the server's
// lock table. The other readers have a time limit: an ALTER TABLE that waits for the first holds them up, the first waits for
// their rows, and the server does not see that circle. The next snapshot finds the table altered.
Result<OpenSnapshot> open_snapshot(const PostgresOptions& options, std::span<const StreamConfig> streams,
                                   const SnapshotPoint& point, StopSignal stop) {
  OpenSnapshot open{.point = point.lsn, .xmin = 0, .readers = {}, .tables = {}};
  for (int number = 0; number < options.snapshot.connections; ++number) {
    open.readers.push_back(TRY(SnapshotReader::open(options, point.snapshot, stop)));
    TRY(open.readers.back().connection().query(kServerLockTimeout, {}, catalog_deadline(), stop));
  }
  Connection& sql = open.readers.front().connection();
  auto tables = read_snapshot_tables(sql, options.publication_name, streams, stop);
  if (!tables) {
    return std::unexpected(snapshot_error(std::move(tables).error()));
  }
  open.tables = *std::move(tables);
  TRY(lock_tables(sql, open.tables, stop));
  // 64 bits with the epoch; of rows, 32 are known.
  const QueryResult xmin =
      TRY(sql.query("select (pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8 & "
                    "4294967295)::pg_catalog.text",
                    {}, catalog_deadline(), stop));
  open.xmin = xmin.number<std::uint32_t>(0, 0);
  return open;
}

}  // namespace outboxx
