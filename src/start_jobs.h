// Tables that the configuration names and that were neither read by the slot's snapshot nor there before: jobs that read them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/wait.h"
#include "model/state_record.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"

namespace outboxx {

// A table of a stream that lists "read": its leaves, or itself.
struct ReadTable {
  std::string name;  // schema.table
  std::vector<std::uint32_t> leaves;
};

// Queues a job for each table of which nothing is known, unless mode is "never", and knows them all from then on. Where no
// tables were watched until now (a slot that was adopted, a record of an older version), those that are there have been told
// by somebody else. Pure.
void queue_added_tables(std::span<const ReadTable> tables, SnapshotMode mode, StateRecord& state);

// At the start of a session, with what is there.
[[nodiscard]] Result<> watch_tables(const PostgresOptions& options, std::span<const StreamConfig> streams, StateRecord& state,
                                    Connection& sql, StopSignal stop);

}  // namespace outboxx
