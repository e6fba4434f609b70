// The simulated walsender does what the real one did: recorded sessions (record_session.py) are replayed against it.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "simulation/database.h"
#include "simulation/random.h"
#include "simulation/walsender.h"

namespace outboxx::simulation {
namespace {

struct Event {
  std::string what;
  Lsn first;
  Lsn second;
};

std::vector<Event> read_session(const std::filesystem::path& path, int& version) {
  std::ifstream file(path);
  std::vector<Event> events;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    if (line.starts_with("# PostgreSQL ")) {
      version = std::stoi(line.substr(13));
      continue;
    }
    Event event;
    words >> event.what >> std::hex >> event.first.value >> event.second.value;
    events.push_back(event);
  }
  return events;
}

class Replay {
 public:
  Replay(const std::vector<Event>& events, int version) : version_(version) {
    for (const Event& event : events) {
      if (event.what == "wal") {
        CommittedTransaction transaction{
            .commit_lsn = event.first, .end_lsn = event.second, .xid = 1, .commit_time = {}, .changes = {}};
        transaction.changes.push_back({.kind = 'T', .table = &table_, .lsn = event.first, .old_row = {}, .new_row = {}});
        database_.add(transaction);
      }
    }
  }

  void take(const Event& event) {
    const TimePoint now{};
    if (event.what == "start") {
      start(event.first);
    } else if (event.what == "begin" || event.what == "commit") {
      const auto message = next_of_transaction();
      ASSERT_TRUE(message.has_value()) << "the model sends nothing where the server sent a " << event.what;
      EXPECT_EQ(message->kind, event.what == "begin" ? ServerMessage::Kind::kBegin : ServerMessage::Kind::kCommit);
      EXPECT_EQ(message->transaction->commit_lsn, event.first);
    } else if (event.what == "keepalive") {
      check_keepalive(event.first);
    } else if (event.what == "status") {
      walsender_->take_status({.write = event.first, .flush = event.first, .apply = event.first}, now);
    } else if (event.what == "slot") {
      EXPECT_EQ(slot_.confirmed_flush, event.first);
    } else if (event.what == "crash" || (event.what == "stop" && version_ < 17)) {
      slot_.crash();
    } else if (event.what == "stop") {
      slot_.save();
    }
  }

  void expect_nothing_more() { EXPECT_EQ(next_of_transaction(), std::nullopt) << "the model sends more than the server did"; }

 private:
  void start(Lsn position) {
    if (walsender_) {
      expect_nothing_more();
    } else {  // a new slot is saved when it is made
      slot_ = {.confirmed_flush = position, .restart_lsn = position, .saved = position};
    }
    EXPECT_EQ(slot_.confirmed_flush, position);
    walsender_.emplace(database_, slot_, Walsender::Options{}, random_, TimePoint{});
    sent_ = {};
  }

  std::optional<ServerMessage> next_of_transaction() {
    auto message = walsender_->next(TimePoint{});
    while (message && (message->kind == ServerMessage::Kind::kOther || message->kind == ServerMessage::Kind::kKeepalive)) {
      message = walsender_->next(TimePoint{});
    }
    if (message && message->kind == ServerMessage::Kind::kCommit) {
      sent_ = message->transaction->commit_lsn;
    }
    return message;
  }

  // What the model promises of every keepalive: all that commits before it was sent before it.
  void check_keepalive(Lsn position) const {
    for (const CommittedTransaction& transaction : database_.committed()) {
      if (transaction.commit_lsn >= slot_.confirmed_flush && transaction.commit_lsn < position) {
        EXPECT_LE(transaction.commit_lsn, sent_) << "before keepalive " << to_string(position);
      }
    }
  }

  int version_;
  TableVersion table_{.oid = 1, .schema = "public", .name = "t", .replica_identity = 'd', .columns = {}};
  Random random_{1};
  Database database_{random_, [](const CommittedTransaction&) {}};
  Slot slot_;
  std::optional<Walsender> walsender_;
  Lsn sent_;  // start of the newest commit record sent in this session
};

TEST(RecordedSession, SimulatedWalsenderSendsWhatTheRealOneSent) {
  int sessions = 0;
  for (const auto& entry : std::filesystem::directory_iterator(OUTBOXX_GOLDEN_DIR "/sessions")) {
    SCOPED_TRACE(entry.path().filename());
    int version = 0;
    const std::vector<Event> events = read_session(entry.path(), version);
    Replay replay(events, version);
    for (const Event& event : events) {
      replay.take(event);
      if (HasFatalFailure()) {
        return;
      }
    }
    replay.expect_nothing_more();
    ++sessions;
  }
  EXPECT_GE(sessions, 7);
}

}  // namespace
}  // namespace outboxx::simulation
