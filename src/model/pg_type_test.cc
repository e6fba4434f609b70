#include "model/pg_type.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>

namespace outboxx {
namespace {

TEST(PgType, KnowsTheTypesThatAreNotPlainTextAndNoOthers) {
  const std::map<std::uint32_t, LogicalType> known = {
      {16, LogicalType::kBool}, {20, LogicalType::kInt8},    {21, LogicalType::kInt2},
      {23, LogicalType::kInt4}, {700, LogicalType::kFloat4}, {701, LogicalType::kFloat8},
  };
  for (std::uint32_t oid = 0; oid < 70'000; ++oid) {
    const auto row = known.find(oid);
    ASSERT_EQ(logical_type(oid), row == known.end() ? LogicalType::kOther : row->second) << "OID " << oid;
  }
  EXPECT_EQ(logical_type(0xFFFF'FFFF), LogicalType::kOther);
}

}  // namespace
}  // namespace outboxx
