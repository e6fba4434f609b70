// LogicalType: what a column's type means to a format. The table is in pg_type.cc.
#pragma once

#include <cstdint>

namespace outboxx {

// The types that some format tells as something else than PostgreSQL's text. A new one makes -Wswitch-enum list every format
// that must say how it looks.
enum class LogicalType : std::uint8_t {
  kBool,    // text "t" or "f"
  kInt2,    // decimal digits, perhaps a minus sign
  kInt4,    // the same
  kInt8,    // the same
  kFloat4,  // shortest digits that read back, perhaps with an exponent; "NaN", "Infinity", "-Infinity"
  kFloat8,  // the same
  kOther,   // everything else: arrays, enums, domains (the stream names the domain's OID, not its base type's), ...
};

[[nodiscard]] LogicalType logical_type(std::uint32_t type_oid);

}  // namespace outboxx
