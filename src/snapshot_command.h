// What "outboxx snapshot" does: asks the running instance, over its HTTP endpoint.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "config.h"

namespace outboxx {

// Queues a job, and prints its id. where: SQL; empty: all rows.
[[nodiscard]] Result<> request_snapshot(const Config& config, const std::vector<std::string>& tables, const std::string& where);

// Prints the jobs, one a line.
[[nodiscard]] Result<> list_snapshots(const Config& config);

// action: pause, resume, cancel.
[[nodiscard]] Result<> change_snapshot(const Config& config, std::string_view action, std::uint64_t id);

}  // namespace outboxx
