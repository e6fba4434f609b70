// The publication: which tables and operations the server decodes for us.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/wait.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/preflight.h"
#include "postgres/table_state.h"

namespace outboxx {

struct PublishedTable {
  std::string schema;
  std::string table;
  bool has_column_list = false;
  std::vector<std::string> columns;  // that are published; empty: all (before PostgreSQL 15)
  std::string row_filter{};          // SQL, in the names of the columns; empty: none
};

struct Publication {
  std::string name;
  bool for_all_tables = false;
  bool publishes_insert = false;
  bool publishes_update = false;
  bool publishes_delete = false;
  bool publishes_truncate = false;
  bool via_partition_root = false;
  std::vector<PublishedTable> tables;  // those of the streams only

  [[nodiscard]] const PublishedTable* find_table(std::string_view schema, std::string_view table) const;
};

// Creates the publication for exactly the streams' tables if it does not exist and options allow it; never FOR ALL TABLES,
// which would make the application's UPDATE and DELETE fail on every table without a replica identity. One that exists is never
// altered: it must fit, or kPostgresMisconfigured says what to run (that it is FOR ALL TABLES is a warning of preflight), one
// just created too. Call it before the slot is created: a slot cannot decode changes older than its publication.
[[nodiscard]] Result<> ensure_publication(Connection& sql, const PostgresOptions& options,
                                          std::span<const StreamConfig> streams, StopSignal stop);

[[nodiscard]] Result<std::optional<Publication>> read_publication(Connection& sql, const std::string& name,
                                                                  std::span<const StreamConfig> streams, StopSignal stop);

// Whether an existing publication serves the streams; tables that are not in `tables` do not exist and are not judged. Pure.
[[nodiscard]] std::vector<Check> check_publication(const Publication& publication, std::span<const StreamConfig> streams,
                                                   std::span<const TableState> tables);

// A failed check if another of the tables is a partitioned one above this: no publication gives the changes to both. Pure.
[[nodiscard]] std::optional<Check> check_nesting(const TableState& table, std::span<const TableState> tables);

// The statement that creates the publication for the streams, without a semicolon. ONLY: tables that inherit from a stream's
// table are not asked for (partitions come with their table all the same). Pure.
[[nodiscard]] std::string create_publication_statement(std::string_view name, std::span<const StreamConfig> streams,
                                                       std::span<const TableState> tables);

// The streams' tables that exist, each once.
[[nodiscard]] Result<std::vector<TableState>> read_tables(Connection& sql, std::span<const StreamConfig> streams,
                                                          StopSignal stop);

[[nodiscard]] const TableState* find_table(std::span<const TableState> tables, const StreamConfig& stream);

// Everything that any stream asks for.
[[nodiscard]] OperationSet operations_of(std::span<const StreamConfig> streams);

}  // namespace outboxx
