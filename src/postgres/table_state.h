// TableState: what the catalogs say about a table that a stream names, as far as preflight and publication need it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/wait.h"
#include "model/relation.h"
#include "postgres/connection.h"

namespace outboxx {

struct ColumnState {
  std::string name;
  bool is_generated = false;
  std::uint32_t type_oid = 0;  // a domain's own
  std::int32_t type_modifier = -1;
};

// What PostgreSQL puts into the WAL to identify the old row of an UPDATE or DELETE.
struct IdentityState {
  std::string schema;
  std::string table;
  ReplicaIdentity kind = ReplicaIdentity::kDefault;
  std::vector<std::string> columns;  // of the primary key or the chosen index; empty if it does not exist or cannot serve

  // Without it the server refuses UPDATE and DELETE on a table that publishes them.
  [[nodiscard]] bool is_usable() const { return kind == ReplicaIdentity::kFull || !columns.empty(); }
  [[nodiscard]] bool carries(std::string_view column) const;
};

// A partition that holds rows.
struct LeafState {
  std::string schema;
  std::string table;
  char kind = 'r';         // pg_class.relkind
  char persistence = 'p';  // pg_class.relpersistence
  bool is_readable = true;
  bool has_row_security = false;  // for us
};

// A schema that a snapshot has to name for a column's values and that we may not use.
struct ClosedSchema {
  std::string schema;
  std::string column;
};

struct TableState {
  std::string schema;
  std::string table;
  std::uint32_t oid = 0;
  char kind = 'r';         // pg_class.relkind
  char persistence = 'p';  // pg_class.relpersistence
  std::string owner;
  std::string asking_role;  // us
  bool is_owned = false;    // we have the owner's rights
  bool is_readable = false;
  bool has_row_security = false;  // for us
  std::string partition_root;     // "schema.table" of the topmost partitioned table; empty if this is no partition
  // The oids of all the partitioned tables above it.
  std::vector<std::uint32_t> ancestors{};
  std::vector<ColumnState> columns;
  // Of the table itself and, if it is partitioned, of every leaf: ALTER TABLE ... REPLICA IDENTITY does not reach the
  // partitions, and it is the leaf's identity that decides what an UPDATE or DELETE writes.
  IdentityState identity;
  std::vector<IdentityState> leaves;
  // At most 20 of those that a snapshot cannot read as it reads others: a right to the partitioned table is none to its
  // partitions, and policies of the one are not policies of the others.
  std::vector<LeafState> odd_leaves{};
  std::vector<ClosedSchema> closed_schemas{};  // by schema

  [[nodiscard]] bool is_partitioned() const { return kind == 'p'; }
  [[nodiscard]] const ColumnState* find_column(std::string_view name) const;
};

// Nothing if there is no relation of exactly this name, whatever its kind.
[[nodiscard]] Result<std::optional<TableState>> read_table(Connection& sql, const std::string& schema, const std::string& table,
                                                           StopSignal stop);

// Tables whose names come near (other case, other schema, longer or shorter), as the configuration names them: "schema.table".
// At most five.
[[nodiscard]] Result<std::vector<std::string>> find_similar_tables(Connection& sql, const std::string& schema,
                                                                   const std::string& table, StopSignal stop);

// "schema"."table", for statements.
[[nodiscard]] std::string quote_sql_table(std::string_view schema, std::string_view table);

// The deadline of a catalog query: long enough for a busy server, short enough to be noticed.
[[nodiscard]] TimePoint catalog_deadline();

}  // namespace outboxx
