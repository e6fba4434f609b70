// TableWatch: whether the streams' tables still are the ones that the publication had when the session began. A publication
// holds tables, not names: what takes a table's name is not streamed, and nothing in the stream tells.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/wait.h"
#include "model/stream.h"
#include "postgres/connection.h"

namespace outboxx {

struct WatchedTable {
  std::string schema;
  std::string table;
  std::uint32_t oid = 0;      // 0: no table of that name
  OperationSet published{};   // under that name
  std::string former_name{};  // "schema.table" that the oid before has now; empty: it was dropped
};

class TableWatch {
 public:
  TableWatch() = default;  // of nothing
  TableWatch(std::string publication, std::vector<WatchedTable> tables);

  // Of the tables as they are now.
  [[nodiscard]] static Result<TableWatch> begin(Connection& sql, const std::string& publication,
                                                std::span<const StreamConfig> streams, StopSignal stop);

  [[nodiscard]] bool empty() const { return tables_.empty(); }
  // One query, which does not wait for locks; the answer is for parse().
  [[nodiscard]] Result<> ask(Connection& sql) const;
  [[nodiscard]] std::vector<WatchedTable> parse(const QueryResult& answer) const;

  // An error that passes, for the next session's preflight to judge: of the first table whose changes come no more. One that
  // was dropped is told and waited for: it has no changes, until there is a new one.
  [[nodiscard]] Result<> compare(std::span<const WatchedTable> now);

 private:
  std::string publication_;
  std::vector<WatchedTable> tables_;  // each once
};

}  // namespace outboxx
