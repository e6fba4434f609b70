// Parts of a table in the order of its key: the SQL that finds where one ends, and that reads it.
//
// Whatever the index looks like, parts are ranges in the order of the columns' own operators, so that none overlap and nothing
// is between two.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/wait.h"
#include "model/snapshot_job.h"
#include "postgres/connection.h"
#include "postgres/snapshot_plan.h"

namespace outboxx {

struct KeyColumn {
  std::string name;
  std::string type;     // quoted
  std::string order{};  // what it is sorted by: the OIDs of its type and of its collation

  friend bool operator==(const KeyColumn&, const KeyColumn&) = default;
};

using KeyValues = std::vector<std::string>;  // as text, by column of the key

// Of the primary key, or else of the replica identity's index; empty if the table has neither, or one that cannot serve: its
// collations are not the columns', or its order is not one of the server's own operators.
[[nodiscard]] Result<std::vector<KeyColumn>> read_key(Connection& sql, std::uint32_t oid, StopSignal stop);

// Rows with keys in (after, end]. Nothing: without that bound.
struct KeyRange {
  std::optional<KeyValues> after;
  std::optional<KeyValues> end;
};

// Selects the key of the last one of the next `rows` rows after; no row if there are fewer.
[[nodiscard]] std::string find_end_statement(const std::string& quoted_table, const std::vector<KeyColumn>& key,
                                             const std::optional<KeyValues>& after, std::uint64_t rows);

// As copy_statement(): of the rows in range for which where is true. key is empty: all of them.
[[nodiscard]] std::string copy_range_statement(const SnapshotTable& table, const std::vector<KeyColumn>& key,
                                               const KeyRange& range, const std::string& where);

// Fails as the server does if where is no condition of the table's, and reads nothing. With its one parameter it is sent as a
// single statement, so that nothing can hide in a where that passed: it stands here as it does in the COPY.
[[nodiscard]] std::string check_where_statement(const std::string& quoted_table, const std::string& where);

}  // namespace outboxx
