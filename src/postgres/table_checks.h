// What preflight thinks of the streams' tables. Pure: no connection.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/stream.h"
#include "postgres/preflight.h"
#include "postgres/publication.h"
#include "postgres/table_state.h"

namespace outboxx {

// What is published of a table: now, or by the publication that will be created.
struct PublishedOperations {
  bool already = false;
  bool updates = false;
  bool deletes = false;
};

[[nodiscard]] std::vector<Check> check_table(const TableState& table, PublishedOperations published);

// published: the table in an existing publication, or nullptr.
[[nodiscard]] std::vector<Check> check_stream(const StreamConfig& stream, const TableState& table,
                                              const PublishedTable* published);

[[nodiscard]] Check check_missing_table(const StreamConfig& stream, std::span<const std::string> similar);

}  // namespace outboxx
