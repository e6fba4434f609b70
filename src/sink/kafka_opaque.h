// librdkafka carries a pointer per record, from produce to delivery report, and never follows it: it holds the unit's number.
#pragma once

#include <cstdint>

#include "model/unit_id.h"

namespace outboxx {

static_assert(sizeof(void*) == sizeof(UnitId));

inline void* to_opaque(UnitId unit) {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(unit));  // NOLINT(performance-no-int-to-ptr): a number
}

inline UnitId to_unit(const void* opaque) {
  return reinterpret_cast<std::uintptr_t>(opaque);
}

}  // namespace outboxx
