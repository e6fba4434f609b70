#include "postgres/preflight.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"

namespace outboxx {
namespace {

TEST(RequireChecks, AcceptsPassedAndWarnedOnes) {
  const std::vector<Check> checks{passed_check("a", "fine"), warned_check("b", "odd", "Look.")};
  EXPECT_TRUE(require(checks));
}

TEST(RequireChecks, HandsASingleFailureOnAsItIs) {
  std::vector<Check> checks{passed_check("a", "fine"), failed_check("slot", "slot is lost", "Drop it.")};
  checks[1].code = ErrorCode::kSlot;
  const Result<> result = require(checks);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kSlot);
  EXPECT_EQ(result.error().message, "slot is lost");
  EXPECT_EQ(result.error().hint, "Drop it.");
}

TEST(RequireChecks, ListsAllFailuresUnderTheCodeOfTheFirst) {
  std::vector<Check> checks{failed_check("a", "first", "Do this."), failed_check("b", "second", ""),
                            failed_check("c", "third", "Do that.")};
  checks[2].code = ErrorCode::kSlot;
  const Result<> result = require(checks);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kPostgresMisconfigured);
  EXPECT_EQ(result.error().message, "3 checks failed: (1) first; (2) second; (3) third");
  EXPECT_EQ(result.error().hint, "(1) Do this. (3) Do that.");
}

TEST(RequireChecks, IsInterruptedWhateverFailedBefore) {
  std::vector<Check> checks{failed_check("a", "first", ""), failed_check("connection", "interrupted", "")};
  checks[1].code = ErrorCode::kInterrupted;
  const Result<> result = require(checks);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInterrupted);
}

Check failed_with(ErrorCode code) {
  Check check = failed_check("a", "failed", "");
  check.code = code;
  return check;
}

TEST(DecisiveFailure, IsTheFirstOfThoseThatDoNotPass) {
  const std::vector checks{failed_with(ErrorCode::kKafkaUnreachable), failed_with(ErrorCode::kSlot),
                           failed_with(ErrorCode::kConfig)};
  EXPECT_EQ(decisive_failure(checks), &checks[1]);
}

TEST(DecisiveFailure, IsTheFirstOfThoseThatPass) {
  const std::vector checks{passed_check("a", "fine"), failed_with(ErrorCode::kPostgresUnreachable),
                           failed_with(ErrorCode::kKafkaUnreachable)};
  EXPECT_EQ(decisive_failure(checks), &checks[1]);
}

}  // namespace
}  // namespace outboxx
