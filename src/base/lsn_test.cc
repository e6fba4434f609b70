#include "base/lsn.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>

namespace outboxx {
namespace {

TEST(Lsn, IsWrittenAsPgLsn) {
  EXPECT_EQ(to_string(Lsn{0}), "0/0");
  EXPECT_EQ(to_string(Lsn{0x1A2B3C}), "0/1A2B3C");
  EXPECT_EQ(to_string(Lsn{0x16B374D848}), "16/B374D848");
  EXPECT_EQ(to_string(Lsn{0x100000000}), "1/0");
  EXPECT_EQ(to_string(Lsn{UINT64_MAX}), "FFFFFFFF/FFFFFFFF");
}

TEST(Lsn, IsAppended) {
  std::string out = "lsn=";
  append_lsn(out, Lsn{0xAB});
  EXPECT_EQ(out, "lsn=0/AB");
}

TEST(Lsn, IsParsed) {
  EXPECT_EQ(parse_lsn("0/0"), Lsn{0});
  EXPECT_EQ(parse_lsn("16/B374D848"), Lsn{0x16B374D848});
  EXPECT_EQ(parse_lsn("16/b374d848"), Lsn{0x16B374D848});
  EXPECT_EQ(parse_lsn("00000016/0000000A"), Lsn{0x160000000A});
  EXPECT_EQ(parse_lsn("FFFFFFFF/FFFFFFFF"), Lsn{UINT64_MAX});
}

TEST(Lsn, RefusesWhatIsNotTwoHexNumbersOf32Bits) {
  for (const char* const text : {"", "/", "1", "1/", "/1", "1/2/3", "1/ 2", " 1/2", "1/2 ", "-1/2", "+1/2", "0x1/2", "g/1",
                                 "100000000/0", "0/100000000", "1-2"}) {
    EXPECT_EQ(parse_lsn(text), std::nullopt) << '"' << text << '"';
  }
}

TEST(Lsn, IsOrderedByPosition) {
  EXPECT_LT(Lsn{0xFFFFFFFF}, Lsn{0x100000000});
  EXPECT_EQ(Lsn{5}, Lsn{5});
  EXPECT_GT(Lsn{0x200000000}, Lsn{0x1FFFFFFFF});
}

}  // namespace
}  // namespace outboxx
