// snapshots_json: the answer to GET /snapshots. Members and their meanings: docs/operations.md.
#pragma once

#include <string>

#include "base/snapshot_progress.h"
#include "base/time.h"

namespace outboxx {

// One line, its end included. Any thread.
[[nodiscard]] std::string snapshots_json(const SnapshotProgress& progress, WallTime now);

}  // namespace outboxx
