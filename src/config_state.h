// What the configuration says of delivery and of the state record.
#pragma once

#include "config.h"
#include "config_reader.h"

namespace outboxx {

// delivery and [sink.kafka.transaction].
void read_delivery(const ConfigTable& kafka, Config& config);

// [state], after the sink and the streams.
void read_state(const ConfigTable& state, Config& config);

}  // namespace outboxx
