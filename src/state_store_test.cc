#include "state_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/wait.h"
#include "config.h"
#include "model/snapshot_state.h"
#include "model/state_record.h"
#include "state_options.h"

namespace outboxx {
namespace {

class StateStoreTest : public testing::Test {
 protected:
  ~StateStoreTest() override { std::remove(path_.c_str()); }

  [[nodiscard]] StateStore open() const {
    Config config;
    config.state.mode = StateMode::kFile;
    config.state.file = path_;
    return *StateStore::open(config, "shop.outboxx", StopSignal{});
  }
  void write(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }
  [[nodiscard]] Error failure() const {
    const auto history = open().read(StopSignal{});
    return history ? Error{} : history.error();
  }

  std::string path_ = testing::TempDir() + "outboxx-state-" + std::to_string(::getpid());
};

TEST_F(StateStoreTest, FileThatDoesNotExistHoldsNoRecord) {
  const auto history = open().read(StopSignal{});
  ASSERT_TRUE(history);
  EXPECT_EQ(history->newest(), std::nullopt);
}

TEST_F(StateStoreTest, FileHoldsARecordOfManyTables) {
  StateRecord record;
  record.snapshot.is_pending = true;
  for (std::uint32_t oid = 16'384; oid < 36'384; ++oid) {
    TableSnapshot& table = record.snapshot.tables.emplace_back();
    table.oid = oid;
    table.is_done = true;
  }
  ASSERT_GT(encode(record).size(), 100'000U);
  ASSERT_TRUE(open().write(record, StopSignal{}));
  const auto history = open().read(StopSignal{});
  ASSERT_TRUE(history) << history.error().message;
  EXPECT_EQ(history->newest(), record);
}

TEST_F(StateStoreTest, FileThatHoldsNoRecordIsNamed) {
  write("garbage\n");
  const Error error = failure();
  EXPECT_EQ(error.code, ErrorCode::kState);
  EXPECT_EQ(error.message, "state file \"" + path_ + "\": cannot read the state record: it is not a JSON object");
  EXPECT_EQ(
      error.hint,
      "Somebody else wrote the file, or a newer Outboxx did: look at it, and name another file in [state] if it is not ours.");
}

TEST_F(StateStoreTest, FileIsReadToABound) {
  write(std::string(2 * kStateRecordBytesMax, ' '));
  EXPECT_EQ(failure().message, "state file \"" + path_ + "\": cannot read the state record: it is too large");
}

TEST_F(StateStoreTest, FolderIsNoStateFile) {
  path_ = "/";  // which the destructor cannot remove
  EXPECT_EQ(failure().message, "could not read state file \"" + path_ + "\": Is a directory");
}

}  // namespace
}  // namespace outboxx
