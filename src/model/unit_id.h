// UnitId: names a unit of acknowledgement, a transaction, from produce() to its delivery (ack_tracker.h).
#pragma once

#include <cstdint>

namespace outboxx {

using UnitId = std::uint64_t;

}  // namespace outboxx
