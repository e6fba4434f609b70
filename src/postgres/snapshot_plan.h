// What a snapshot reads: the tables of the streams that list "read", as the publication and the stream have them, and the SQL
// that reads a part of one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/wait.h"
#include "model/relation.h"
#include "model/snapshot_state.h"
#include "model/stream.h"
#include "postgres/binary_text.h"
#include "postgres/connection.h"
#include "postgres/publication.h"
#include "postgres/table_state.h"

namespace outboxx {

// One table that holds rows: a plain one, or a leaf of a partitioned one.
struct SnapshotTable {
  std::uint32_t oid = 0;
  std::uint32_t file_node = 0;
  std::string quoted_name;  // of the leaf: "schema"."table"
  std::uint32_t blocks = 0;
  std::uint64_t bytes = 0;  // with its TOAST table
  std::uint64_t estimated_rows = 0;
  bool has_toast = false;           // some value may be in its TOAST table
  bool stream_tells_moves = false;  // all streams that read it list "insert" and "update"
  std::string row_filter;           // SQL; empty: none
  // As the stream describes it: with the root's name if the publication publishes via the root, the published columns in the
  // stream's order, key flags. version is unique for it.
  Relation relation;
  std::vector<const BinaryType*> types;  // by column; nullptr: selected as text
  std::vector<std::string> expressions;  // by column: what is selected for it
  std::string search_path;               // a literal: under which the server makes text
};

// The leaves of all tables that some stream wants to READ, in the order of their oids, as they are in the snapshot of sql's
// transaction. What has changed since (a table rewritten, a column dropped) shows once they are locked. kPostgresUnreachable if
// one of them is gone. sql is a connection of ConnectionMode::kSnapshot, and has search_path pg_catalog until the transaction's
// end.
[[nodiscard]] Result<std::vector<SnapshotTable>> read_snapshot_tables(Connection& sql, const std::string& publication,
                                                                      std::span<const StreamConfig> streams, StopSignal stop);

// The published columns in the stream's order, as pgoutput's Relation message describes them (PostgreSQL: proto.c,
// logicalrep_write_attrs). Without a version. Pure.
[[nodiscard]] Relation describe_relation(const TableState& table, const PublishedTable& published, int server_version);

// LOCK TABLE ONLY ... IN ACCESS SHARE MODE: against TRUNCATE and rewriting, which would hide rows from the snapshot. tables is
// not empty. A server without room for so many locks says 53200, with the setting to raise as a hint.
[[nodiscard]] std::string lock_statement(std::span<const SnapshotTable> tables);

// About so many blocks hold chunk_bytes of the table, its TOAST included; at least 1.
[[nodiscard]] std::uint32_t blocks_per_chunk(const SnapshotTable& table, std::uint64_t chunk_bytes);

// SELECT set_config(...); COPY (SELECT ...) TO STDOUT (FORMAT binary) of the rows in range. For a connection's transaction.
[[nodiscard]] std::string copy_statement(const SnapshotTable& table, BlockRange range);
// Of them only those that a transaction at or after xmin wrote.
[[nodiscard]] std::string copy_moved_statement(const SnapshotTable& table, BlockRange range, std::uint32_t xmin);

}  // namespace outboxx
