// What the configuration says of delivery, of the state record and of snapshots.
#pragma once

#include "config.h"
#include "config_reader.h"
#include "postgres/options.h"

namespace outboxx {

// delivery and [sink.kafka.transaction].
void read_delivery(const ConfigTable& kafka, Config& config);

// [state], after the sink and the streams.
void read_state(const ConfigTable& state, Config& config);

// [source.postgres.snapshot]; and what the rest of the file has to say to it.
void read_snapshot(const ConfigTable& snapshot, SnapshotOptions& options);
void check_snapshot_mode(const ConfigTable& root, const Config& config);

}  // namespace outboxx
