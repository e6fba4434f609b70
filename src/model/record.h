// Record: what a sink sends for one change and one stream. Reused from change to change, so that it stops allocating.
#pragma once

#include <cstddef>
#include <string>

#include "model/event_id.h"

namespace outboxx {

struct Record {
  std::size_t stream = 0;  // index in the configuration's streams: names the topic
  std::string key;
  std::string value;
  EventId id;
  bool is_split = false;  // its PostgreSQL transaction is written in several Kafka transactions
};

}  // namespace outboxx
