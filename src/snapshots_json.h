// snapshots_json: the answer to GET /snapshots. Members and their meanings: docs/operations.md.
#pragma once

#include <span>
#include <string>

#include "base/snapshot_progress.h"
#include "base/time.h"
#include "snapshot_mailbox.h"

namespace outboxx {

// One line, its end included. Any thread.
[[nodiscard]] std::string snapshots_json(const SnapshotProgress& progress, std::span<const JobView> jobs, WallTime now);

}  // namespace outboxx
