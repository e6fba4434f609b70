#include "postgres/server_identity.h"

#include <gtest/gtest.h>

#include <optional>
#include <string_view>

#include "base/lsn.h"

namespace outboxx {
namespace {

constexpr std::string_view kHistory = "1\t0/3000148\tno recovery target specified\n\n2\t1/A0\tbefore 2024\n";

TEST(SwitchPoint, IsWhereTheTimelineWasLeft) {
  EXPECT_EQ(find_switch_point(kHistory, 1), Lsn{0x3000148});
  EXPECT_EQ(find_switch_point(kHistory, 2), (Lsn{0x1'000000A0}));
}

TEST(SwitchPoint, IsNothingForAForeignTimeline) {
  EXPECT_EQ(find_switch_point(kHistory, 3), std::nullopt);
  EXPECT_EQ(find_switch_point("", 1), std::nullopt);
  EXPECT_EQ(find_switch_point("1", 1), std::nullopt);
  EXPECT_EQ(find_switch_point("1\tx\ty", 1), std::nullopt);
}

}  // namespace
}  // namespace outboxx
