#include "postgres/chunk_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include "model/snapshot_job.h"
#include "postgres/connection.h"
#include "postgres/key_chunk.h"
#include "postgres/options.h"
#include "postgres/slot.h"
#include "postgres/snapshot_plan.h"
#include "postgres/snapshot_point.h"
#include "postgres/snapshot_reader.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

// A transaction that has been open for so long is not expected to end in the moment that the stream can be held.
constexpr std::chrono::seconds kLongTransaction{1};
constexpr std::chrono::milliseconds kPlanLockTimeout{5'000};  // nothing waits for the plan
constexpr std::chrono::milliseconds kPlanStatementTimeout{25'000};
constexpr std::string_view kLockNotAvailable = "55P03";

// Where the leaf was left, if its key is what it was. In another order, what is left to read may be before that place.
std::optional<KeyValues> key_before(const JobPlace& place, std::uint32_t leaf, const std::vector<KeyColumn>& key) {
  if (place.key_leaf != leaf || place.key.empty() || place.key.size() != key.size()) {
    return std::nullopt;
  }
  KeyValues values;
  for (std::size_t index = 0; index < key.size(); ++index) {
    if (place.key[index].name != key[index].name || place.key[index].order != key[index].order) {
      return std::nullopt;
    }
    values.push_back(place.key[index].value);
  }
  return values;
}

// What fits into a chunk of bounded bytes. Of a table that was never analyzed, a block has one row at least.
std::uint64_t first_rows(const SnapshotTable& leaf) {
  const std::uint64_t rows = leaf.estimated_rows > 0 ? leaf.estimated_rows : leaf.blocks;
  return std::max<std::uint64_t>(kChunkBytesMax / std::max<std::uint64_t>(leaf.bytes / std::max<std::uint64_t>(rows, 1), 1), 1);
}

std::unexpected<Error> fail_without_key(const std::string& table) {
  return fail(
      ErrorCode::kPostgresMisconfigured,
      fmt::format("cannot read table {} exactly once while the stream goes on: it has no key that can serve, and is too large "
                  "for one Kafka transaction",
                  table),
      "Give it a primary key.");
}

// Something else changes the table meanwhile: its catalog entries are those of our snapshot, its columns those of the present.
Result<QueryResult> passing(Result<QueryResult> result) {
  return result ? std::move(result) : std::unexpected(snapshot_error(std::move(result).error()));
}

// What changes a table may hide it, or a part of it, for a moment.
const SnapshotTable* find_leaf(std::span<const SnapshotTable> leaves, std::uint32_t oid) {
  const auto found = std::ranges::find(leaves, oid, &SnapshotTable::oid);
  return found == leaves.end() ? nullptr : &*found;
}

}  // namespace

Result<PreparedChunk> ChunkSource::prepare(const ChunkRequest& request, StopSignal stop) {
  auto prepared = plan(request, stop);
  if (!prepared) {
    close();
  }
  return prepared;
}

Result<OpenChunk> ChunkSource::open(const PreparedChunk& chunk, StopSignal stop) {
  auto opened = open_at_point(chunk, stop);
  if (!opened) {
    close();
    return std::unexpected(snapshot_error(std::move(opened).error()));
  }
  return opened;
}

void ChunkSource::close() {
  reader_.reset();
  replication_.reset();
  sql_.reset();
  has_slot_ = false;
  has_snapshot_ = false;
}

Result<> ChunkSource::connect(StopSignal stop) {
  if (sql_) {
    return {};
  }
  sql_ = TRY(Connection::open(options_, ConnectionMode::kSql, stop));
  replication_ = TRY(Connection::open(options_, ConnectionMode::kReplication, stop));
  reader_ = TRY(SnapshotReader::connect(options_, stop));
  const QueryResult found = TRY(sql_->query("select pg_catalog.pg_is_in_recovery()", {}, catalog_deadline(), stop));
  is_standby_ = found.value(0, 0) == "t";
  return {};
}

Result<> ChunkSource::end_chunk(StopSignal stop) {
  if (std::exchange(has_snapshot_, false)) {
    TRY(reader_->end(stop));
  }
  if (std::exchange(has_slot_, false)) {
    TRY(replication_->query("DROP_REPLICATION_SLOT " + replication_->quote_identifier(temporary_slot_name(options_.slot_name)),
                            {}, catalog_deadline(), stop));
  }
  return {};
}

Result<PreparedChunk> ChunkSource::plan(const ChunkRequest& request, StopSignal stop) {
  TRY(connect(stop));
  TRY(end_chunk(stop));
  // One snapshot for all queries: a table dropped between two of them would look like one without leaves, and as read.
  TRY(sql_->query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", {}, catalog_deadline(), stop));
  // Below our own deadline: the server would keep a session that we gave up, one more with each attempt.
  TRY(sql_->query(fmt::format("SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}", kPlanLockTimeout.count(),
                              kPlanStatementTimeout.count()),
                  {}, catalog_deadline(), stop));
  auto chunk = plan_in_transaction(request, stop);
  if (!chunk && chunk.error().sqlstate == kLockNotAvailable) {
    return std::unexpected(snapshot_error(std::move(chunk).error()));
  }
  TRY(chunk);
  TRY(sql_->query("COMMIT", {}, catalog_deadline(), stop));
  return chunk;
}

Result<PreparedChunk> ChunkSource::plan_in_transaction(const ChunkRequest& request, StopSignal stop) {
  PreparedChunk chunk{.request = request,
                      .leaf = 0,
                      .key = {},
                      .range = {},
                      .rows = request.rows,
                      .next = request.place,
                      .waits_for = {},
                      .is_standby = is_standby_};
  // Asked first: to read_snapshot_tables() a table that is gone passes, and the jobs behind this one would wait for ever.
  if (!TRY(read_table(*sql_, request.stream.schema, request.stream.table, stop))) {
    return fail(ErrorCode::kPostgresMisconfigured,
                fmt::format("table \"{}.{}\" does not exist", request.stream.schema, request.stream.table));
  }
  const auto leaves = TRY(read_snapshot_tables(*sql_, options_.publication_name, {&request.stream, 1}, stop));
  const auto leaf = std::ranges::upper_bound(leaves, request.place.leaf_done, {}, &SnapshotTable::oid);
  if (leaf == leaves.end()) {
    return chunk;
  }
  TRY(lock_tables(*sql_, {&*leaf, 1}, stop));
  chunk.leaf = leaf->oid;
  chunk.key = TRY(read_key(*sql_, leaf->oid, stop));
  chunk.next = {.leaf_done = leaf->oid, .key_leaf = 0, .key = {}};
  if (chunk.key.empty() && request.needs_key && leaf->bytes > kKeylessBytesMax) {
    return fail_without_key(leaf->quoted_name);
  }
  if (!request.where.empty()) {
    TRY(sql_->query(check_where_statement(leaf->quoted_name, request.where), {""}, catalog_deadline(), stop));
  }
  if (!chunk.key.empty()) {
    chunk.range.after = key_before(request.place, leaf->oid, chunk.key);
    chunk.rows = chunk.range.after ? request.rows : std::min(request.rows, first_rows(*leaf));
    const QueryResult end = TRY(passing(sql_->query(
        find_end_statement(leaf->quoted_name, chunk.key, chunk.range.after, chunk.rows), {}, catalog_deadline(), stop)));
    if (end.rows() > 0) {
      chunk.next = {.leaf_done = request.place.leaf_done, .key_leaf = leaf->oid, .key = {}};
      KeyValues& values = chunk.range.end.emplace();
      for (std::size_t column = 0; column < chunk.key.size(); ++column) {
        values.push_back(end.text(0, static_cast<int>(column)));
        chunk.next.key.push_back({.name = chunk.key[column].name, .value = values.back(), .order = chunk.key[column].order});
      }
    }
  }
  chunk.waits_for = TRY(read_old_transactions(*sql_, kLongTransaction, stop));
  return chunk;
}

// The table is described anew, as the snapshot shows it: it may have been altered since.
Result<OpenChunk> ChunkSource::open_at_point(const PreparedChunk& chunk, StopSignal stop) {
  const SnapshotPoint point = TRY(make_snapshot_point(*replication_, *sql_, options_.slot_name, stop));
  has_slot_ = true;
  TRY(reader_->import(point.snapshot, stop));
  has_snapshot_ = true;
  Connection& sql = reader_->connection();
  TRY(sql.query(fmt::format("SET LOCAL lock_timeout = {}; SET LOCAL enable_seqscan = off", kLockTimeout.count()), {},
                catalog_deadline(), stop));
  const auto leaves = TRY(read_snapshot_tables(sql, options_.publication_name, {&chunk.request.stream, 1}, stop));
  const SnapshotTable* const leaf = find_leaf(leaves, chunk.leaf);
  if (leaf == nullptr) {
    return fail(ErrorCode::kPostgresUnreachable, "the table is not what it was a moment ago");
  }
  TRY(lock_tables(sql, {leaf, 1}, stop));
  if (TRY(read_key(sql, leaf->oid, stop)) != chunk.key) {
    return fail(ErrorCode::kPostgresUnreachable, "the key of the table is not what it was a moment ago");
  }
  return OpenChunk{
      .point = point.lsn, .table = *leaf, .copy = copy_range_statement(*leaf, chunk.key, chunk.range, chunk.request.where)};
}

}  // namespace outboxx
