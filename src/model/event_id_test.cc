#include "model/event_id.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/lsn.h"

namespace outboxx {
namespace {

std::string text_of(const EventId& id) {
  std::string out;
  append_event_id(out, id);
  return out;
}

TEST(EventId, IsWrittenInHexOfFixedWidth) {
  EXPECT_EQ(text_of({.commit_lsn = Lsn{0x19A2B3C}, .ordinal = 1, .part = 0}), "00000000019A2B3C-000000000001-0000");
  EXPECT_EQ(text_of({}), "0000000000000000-000000000000-0000");
  EXPECT_EQ(text_of({.commit_lsn = Lsn{UINT64_MAX}, .ordinal = 0xFFFFFFFFFFFF, .part = 0xFFFF}),
            "FFFFFFFFFFFFFFFF-FFFFFFFFFFFF-FFFF");
  EXPECT_EQ(text_of({}).size(), kEventIdSize);
}

TEST(EventId, IsAppended) {
  std::string out = "id=";
  append_event_id(out, {.commit_lsn = Lsn{0xAB}, .ordinal = 0xCD, .part = 0xEF});
  EXPECT_EQ(out, "id=00000000000000AB-0000000000CD-00EF");
}

// Consumers compare the text, so its order must be that of the numbers: commit, ordinal, part.
TEST(EventId, ComparesAsBytesInTheOrderOfDelivery) {
  const std::vector<EventId> ids = {
      {.commit_lsn = Lsn{9}, .ordinal = 0, .part = 0},           {.commit_lsn = Lsn{9}, .ordinal = 0, .part = 10},
      {.commit_lsn = Lsn{9}, .ordinal = 9, .part = 1},           {.commit_lsn = Lsn{9}, .ordinal = 10, .part = 0},
      {.commit_lsn = Lsn{9}, .ordinal = 0x100000000, .part = 0}, {.commit_lsn = Lsn{10}, .ordinal = 0, .part = 0},
      {.commit_lsn = Lsn{0x100000000}, .ordinal = 0, .part = 0},
  };
  for (std::size_t index = 1; index < ids.size(); ++index) {
    EXPECT_LT(text_of(ids[index - 1]), text_of(ids[index])) << index;
  }
}

}  // namespace
}  // namespace outboxx
