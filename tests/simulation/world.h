// World: one run. The virtual clock, the servers, the program between them, and the faults of the plan.
//
// The program is Session, as Pipeline runs it: wait, turn, wait. Around it stands what supervise() does, in a few lines: a
// session that ended is followed by a new one with a new sink, from where the slot stands.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/time.h"
#include "model/stream.h"
#include "session.h"
#include "simulation/broker.h"
#include "simulation/checker.h"
#include "simulation/cluster.h"
#include "simulation/connection.h"
#include "simulation/crash.h"
#include "simulation/database.h"
#include "simulation/plan.h"
#include "simulation/random.h"
#include "simulation/starter.h"
#include "simulation/trace.h"
#include "simulation/walsender.h"

namespace outboxx::simulation {

struct Outcome {
  std::string violation;  // empty: none
  std::uint64_t trace_hash = 0;
  std::uint64_t turns = 0;
  std::uint64_t sessions = 0;
  std::uint64_t records = 0;
  std::uint64_t repeats = 0;
  std::uint64_t transactions = 0;
  std::uint64_t refusals = 0;
};

class World {
 public:
  World(std::uint64_t seed, bool prints_trace);
  [[nodiscard]] Outcome run();

 private:
  void play();
  void happen();
  void write();
  void apply(const Fault& fault);
  [[nodiscard]] TimePoint next_event() const;

  // The server.
  void crash_server(Duration down);
  void stop_server(Duration down);
  void finish_server_stop();
  [[nodiscard]] bool slot_is_free() const { return connection_ == nullptr || connection_->slot_is_released(); }

  // The program.
  void start_session();
  [[nodiscard]] bool prepare_start(SessionStart& start, std::optional<std::uint64_t>& producer);
  void tamper(FaultKind kind);
  void run_session();
  void take_turns();
  void stop_session();
  void end_session(bool stopped);
  void kill();

  // The end of a run.
  [[nodiscard]] bool settled() const;
  void settle();
  void end();

  Random random_;
  Plan plan_;
  Trace trace_;
  TimePoint now_ = kBegin;
  std::uint64_t standing_ = 0;  // events since the clock moved
  TimePoint next_statement_ = kBegin;
  std::size_t next_fault_ = 0;

  Checker checker_;
  Database database_;
  Slot slot_;
  Cluster cluster_;
  bool server_is_up_ = true;
  bool server_is_stopping_ = false;
  TimePoint server_up_at_ = TimePoint::max();
  Duration server_down_{};

  CrashPoint crash_;
  TimePoint kill_at_ = TimePoint::max();  // if no effect comes before
  Starter starter_;
  Lsn split_commit_;  // what the process remembers
  Metrics metrics_;
  std::vector<StreamConfig> streams_;
  std::unique_ptr<Connection> connection_;  // stays until the server has noticed that the session is gone
  std::unique_ptr<BrokerSink> sink_;
  std::unique_ptr<Session> session_;
  std::optional<Session::Wait> wait_;
  TimePoint wake_at_;
  TimePoint frozen_until_;
  TimePoint start_at_ = kBegin;
  TimePoint stopped_at_;

  Outcome outcome_;
};

}  // namespace outboxx::simulation
