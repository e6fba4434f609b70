#include "model/pg_type.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace outboxx {
namespace {

struct TypeRow {
  std::uint32_t oid;
  LogicalType type;
};

// OIDs of built-in types never change (PostgreSQL: src/include/catalog/pg_type.dat).
constexpr TypeRow kTypes[] = {
    {16, LogicalType::kBool},     // bool
    {20, LogicalType::kInt8},     // int8
    {21, LogicalType::kInt2},     // int2
    {23, LogicalType::kInt4},     // int4
    {700, LogicalType::kFloat4},  // float4
    {701, LogicalType::kFloat8},  // float8
};

}  // namespace

LogicalType logical_type(std::uint32_t type_oid) {
  const auto* const row = std::ranges::find(kTypes, type_oid, &TypeRow::oid);
  return row == std::end(kTypes) ? LogicalType::kOther : row->type;
}

}  // namespace outboxx
