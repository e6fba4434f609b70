#include "snapshot_mailbox.h"

#include <gtest/gtest.h>

#include <cstddef>

namespace outboxx {
namespace {

TEST(SnapshotMailbox, CarriesACommandAndItsAnswer) {
  SnapshotMailbox mailbox;
  const auto ticket = mailbox.submit({.kind = SnapshotCommand::Kind::kPause, .job = 7});
  ASSERT_TRUE(ticket);
  EXPECT_FALSE(mailbox.take_answer(*ticket));
  const auto letters = mailbox.take_letters();
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_EQ(letters[0].command.job, 7U);
  EXPECT_TRUE(mailbox.take_letters().empty());
  mailbox.answer(letters[0].ticket, {.status = 404, .job = 7, .message = "no"});
  EXPECT_EQ(mailbox.take_answer(*ticket)->status, 404);
  EXPECT_FALSE(mailbox.take_answer(*ticket));
}

TEST(SnapshotMailbox, IsBounded) {
  SnapshotMailbox mailbox;
  for (std::size_t count = 0; count < SnapshotMailbox::kCommandsMax; ++count) {
    ASSERT_TRUE(mailbox.submit({}));
  }
  EXPECT_FALSE(mailbox.submit({}));
  (void)mailbox.take_letters();
  EXPECT_FALSE(mailbox.submit({})) << "nobody was answered yet";
  mailbox.withdraw(1);
  EXPECT_TRUE(mailbox.submit({}));
  for (std::size_t count = 0; count < 2 * SnapshotMailbox::kEndedMax; ++count) {
    mailbox.add_ended({.job = {}, .state = "complete"});
  }
  EXPECT_EQ(mailbox.jobs().size(), SnapshotMailbox::kEndedMax);
}

TEST(SnapshotMailbox, ForgetsWhatNobodyWaitsFor) {
  SnapshotMailbox mailbox;
  const auto ticket = mailbox.submit({});
  mailbox.withdraw(*ticket);
  EXPECT_TRUE(mailbox.take_letters().empty());
  mailbox.answer(*ticket, {});
  EXPECT_FALSE(mailbox.take_answer(*ticket));
}

}  // namespace
}  // namespace outboxx
