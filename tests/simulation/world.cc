#include "simulation/world.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace outboxx::simulation {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kTurnsAtOneInstantMax = 20'000;
constexpr std::uint64_t kEventsAtOneInstantMax = 1'000;
// After the last fault has passed: a silent peer is found, wal_sender_timeout frees the slot, the session starts, everything
// is sent, stored and confirmed.
constexpr Duration kSettle = seconds(180);
// Exactly once, a slow broker takes a second for each part of a transaction that is split, and each of those a session.
constexpr Duration kSettleInParts = seconds(900);

WallTime wall(TimePoint now) {
  return WallTime(std::chrono::duration_cast<microseconds>(now.time_since_epoch() + std::chrono::hours(480'000)));
}

bool is_tampering(FaultKind kind) {
  return kind >= FaultKind::kDropSlot && kind <= FaultKind::kKillInStart;
}

bool needs_session(FaultKind kind) {
  return kind != FaultKind::kServerCrash && kind != FaultKind::kServerStop && kind != FaultKind::kCheckpoint &&
         !is_tampering(kind);
}

std::vector<StreamConfig> make_streams() {
  std::vector<StreamConfig> streams(kStreams);
  for (StreamConfig& stream : streams) {
    stream.schema = "public";
    stream.routing_key = "id";
    stream.operations = {.insert = true, .update = true, .remove = true};
  }
  streams[0].table = "orders";
  streams[1].table = streams[2].table = "items";
  streams[2].operations.update = false;
  return streams;
}

}  // namespace

World::World(std::uint64_t seed, bool prints_trace)
    : random_(seed),
      plan_(make_plan(random_)),
      trace_(prints_trace),
      checker_(plan_.broker.partitions, plan_.mode, trace_),
      database_(random_, [this](const CommittedTransaction& transaction) { checker_.committed(transaction); }),
      slot_{.confirmed_flush = database_.wal_end(),
            .restart_lsn = database_.wal_end(),
            .saved = database_.wal_end(),
            .exists = plan_.mode == Mode::kNoState},
      cluster_(checker_, random_),
      starter_({.cluster = cluster_,
                .checker = checker_,
                .database = database_,
                .slot = slot_,
                .crash = crash_,
                .random = random_,
                .trace = trace_},
               plan_.server_version, plan_.mode == Mode::kExactlyOnce),
      streams_(make_streams()) {
  for (std::size_t stream = 0; stream < kStreams; ++stream) {
    metrics_.streams.emplace_back();
  }
  if (plan_.is_killed_in_first_start) {
    starter_.tamper(Tampering::kKillInStart);
  }
}

Outcome World::run() {
  try {
    play();
  } catch (const Violation& violation) {
    outcome_.violation = violation.what();
  }
  outcome_.trace_hash = trace_.hash();
  outcome_.records = checker_.records_stored();
  outcome_.repeats = checker_.repeats();
  outcome_.refusals = starter_.refusals();
  outcome_.transactions = database_.committed().size();
  return outcome_;
}

void World::play() {
  while (now_ < plan_.work_end || next_fault_ < plan_.faults.size()) {
    happen();
  }
  settle();
  end();
  checker_.check_everything_stored();
}

// Everything that is due now, then the clock goes to what comes next.
void World::happen() {
  trace_.set_time(now_);
  write();
  while (next_fault_ < plan_.faults.size() && plan_.faults[next_fault_].at <= now_) {
    apply(plan_.faults[next_fault_++]);
  }
  if (connection_ != nullptr) {
    connection_->advance(now_);
  }
  if (sink_ != nullptr) {
    sink_->advance(now_);
  }
  if (now_ >= server_up_at_) {
    server_is_up_ = true;
    server_up_at_ = TimePoint::max();
  }
  if (session_ == nullptr && now_ >= start_at_) {
    start_session();
  }
  run_session();
  if (server_is_stopping_ && slot_is_free()) {
    finish_server_stop();
  }
  const TimePoint next = next_event();
  standing_ = next > now_ ? 0 : standing_ + 1;
  if (standing_ > kEventsAtOneInstantMax) {
    throw Violation("the clock stands still: a mistake of the simulation");
  }
  now_ = std::max(now_, next);
}

void World::write() {
  while (now_ >= next_statement_ && now_ < plan_.work_end) {
    next_statement_ += random_.time(microseconds(1), plan_.statement_gap_max);
    if (server_is_up_ && !server_is_stopping_) {
      database_.step(wall(now_));
    }
  }
}

TimePoint World::next_event() const {
  TimePoint next = now_ + seconds(1);
  if (now_ < plan_.work_end) {
    next = std::min(next, next_statement_);
  }
  if (next_fault_ < plan_.faults.size()) {
    next = std::min(next, plan_.faults[next_fault_].at);
  }
  if (connection_ != nullptr) {
    next = std::min(next, connection_->next_event());
  }
  if (session_ == nullptr) {
    return std::min({next, start_at_ > now_ ? start_at_ : TimePoint::max(), server_up_at_});
  }
  next = std::min({next, sink_->next_event(), kill_at_, server_up_at_});
  const TimePoint readable_at = wait_ && wait_->reading ? connection_->readable_at() : TimePoint::max();
  const TimePoint wakes = std::min({wake_at_, readable_at, sink_->ready_at()});
  return std::min(next, std::max(wakes, frozen_until_));
}

void World::apply(const Fault& fault) {
  trace_.note("fault", static_cast<std::uint64_t>(fault.kind), session_ != nullptr ? 1 : 0);
  if (session_ == nullptr && needs_session(fault.kind)) {
    return;
  }
  switch (fault.kind) {
    case FaultKind::kServerCrash:
      return crash_server(fault.length);
    case FaultKind::kServerStop:
      return stop_server(fault.length);
    case FaultKind::kCheckpoint:
      slot_.restart_lsn = std::min(slot_.confirmed_flush, database_.oldest_open());
      return slot_.save();
    case FaultKind::kKill:
      crash_.arm(random_.below(60));
      kill_at_ = now_ + milliseconds(50);
      return;
    case FaultKind::kStop:
      return stop_session();
    case FaultKind::kFreeze:
      frozen_until_ = now_ + fault.length;
      return checker_.was_frozen(frozen_until_ + milliseconds(1));
    case FaultKind::kReset:
    case FaultKind::kClose:
      return connection_->cut(now_, fault.kind == FaultKind::kReset);
    case FaultKind::kBlackHole:
      return connection_->freeze(now_ + fault.length);
    case FaultKind::kStall:
      return sink_->stall(random_.below(sink_->logs()), now_ + fault.length);
    case FaultKind::kFailDelivery:
      return sink_->fail_next(random_.percent(50) ? ErrorCode::kKafkaUnreachable : ErrorCode::kKafkaRefused);
    case FaultKind::kRefuseRecord:
      return sink_->refuse_next_record();
    case FaultKind::kFence:
      (void)cluster_.init_producer();
      return;
    case FaultKind::kFailCommit:
      return sink_->fail_next_commit();
    case FaultKind::kDropSlot:
    case FaultKind::kRecreateSlot:
    case FaultKind::kAdvanceSlot:
    case FaultKind::kWrongServer:
    case FaultKind::kRecreatePublication:
    case FaultKind::kKillInStart:
      return tamper(fault.kind);
  }
}

void World::tamper(FaultKind kind) {
  if (session_ != nullptr) {
    kill();
  }
  starter_.tamper(static_cast<Tampering>(static_cast<int>(kind) - static_cast<int>(FaultKind::kDropSlot)));
}

void World::stop_session() {
  if (!session_->stopping()) {
    session_->stop(now_);
    stopped_at_ = now_;
    wake_at_ = now_;  // the signal ends the wait
  }
}

void World::crash_server(Duration down) {
  if (!server_is_up_) {
    return;
  }
  if (connection_ != nullptr) {
    connection_->cut(now_, random_.percent(50));
  }
  slot_.crash();
  database_.abort_open_transactions();
  if (plan_.mode != Mode::kNoState && random_.percent(30)) {
    starter_.fail_over();
  }
  server_is_up_ = server_is_stopping_ = false;
  server_up_at_ = now_ + down;
}

void World::stop_server(Duration down) {
  if (!server_is_up_ || server_is_stopping_) {
    return;
  }
  server_is_stopping_ = true;
  server_down_ = down;
  database_.abort_open_transactions();
  database_.write_other_wal();
  if (connection_ != nullptr) {
    connection_->walsender().begin_shutdown();
  }
  if (session_ != nullptr) {
    session_->server_is_stopping(now_);  // ends the slot monitor's connection
  }
}

// The last walsender is gone.
void World::finish_server_stop() {
  server_is_stopping_ = server_is_up_ = false;
  server_up_at_ = now_ + server_down_;
  if (plan_.server_version >= 17) {
    slot_.save();
  } else {
    slot_.crash();
  }
}

void World::start_session() {
  if (!server_is_up_ || server_is_stopping_ || !slot_is_free()) {
    start_at_ = now_ + random_.time(milliseconds(20), milliseconds(500));
    return;
  }
  SessionStart start{.confirmed_flush = {},
                     .wal_sender_timeout = std::chrono::duration_cast<milliseconds>(plan_.walsender.timeout),
                     .format = {}};
  std::optional<std::uint64_t> producer;
  if (!prepare_start(start, producer)) {
    start_at_ = now_ + random_.time(milliseconds(1), milliseconds(1000));
    return;
  }
  ++outcome_.sessions;
  connection_ = std::make_unique<Connection>(Walsender(database_, slot_, plan_.walsender, random_, now_), checker_, crash_,
                                             plan_.connection, random_, now_);
  sink_ = std::make_unique<BrokerSink>(cluster_, checker_, crash_, plan_.broker, producer, random_, now_);
  session_ = std::make_unique<Session>(
      Session::Parts{.stream = *connection_, .sink = *sink_, .metrics = metrics_, .streams = streams_}, plan_.pipeline, start,
      now_);
  const Duration timeout = plan_.walsender.timeout;
  const Duration interval = timeout.count() > 0 ? std::min<Duration>(seconds(10), timeout / 4) : seconds(10);
  checker_.session_began(slot_.confirmed_flush, interval, now_);
  wait_.reset();
  wake_at_ = frozen_until_ = now_;
  try {
    if (!session_->begin(now_)) {
      end_session(false);
    }
  } catch (const Crash&) {
    kill();
  }
}

// Nothing happens if it is refused, or the process is killed amid it.
bool World::prepare_start(SessionStart& start, std::optional<std::uint64_t>& producer) {
  if (plan_.mode != Mode::kNoState) {
    try {
      auto started = starter_.attempt();
      if (!started) {
        return false;
      }
      start.state = std::move(started->state);
      start.state_key = std::move(started->key);
      start.progress = plan_.progress;
      start.split_commit = split_commit_;
      if (plan_.mode == Mode::kExactlyOnce) {
        producer = started->producer;
      }
    } catch (const Crash&) {
      trace_.note("killed in the start");
      split_commit_ = {};
      return false;
    }
  }
  start.confirmed_flush = slot_.confirmed_flush;
  return true;
}

void World::run_session() {
  if (session_ == nullptr) {
    return;
  }
  if (now_ >= kill_at_) {
    return kill();
  }
  if (now_ < frozen_until_) {
    return;
  }
  try {
    take_turns();
  } catch (const Crash&) {
    kill();
  }
}

// What Pipeline::run() does, until it would wait.
void World::take_turns() {
  for (std::uint64_t turns = 0;; ++turns) {
    if (turns == kTurnsAtOneInstantMax) {
      throw Violation("spin: the loop turns and turns without waiting");
    }
    if (!wait_) {
      wait_ = session_->prepare_wait(now_);
      wake_at_ = now_ + std::chrono::ceil<milliseconds>(std::max(wait_->until - now_, Duration{0}));
    }
    const Session::Ready ready{.postgres = wait_->reading && connection_->readable_at() <= now_,
                               .sink = sink_->ready_at() <= now_};
    if (!ready.postgres && !ready.sink && now_ < wake_at_) {
      checker_.check_cadence(now_);
      return;
    }
    ++outcome_.turns;
    const Result<> turned = session_->turn(ready, now_);
    wait_.reset();
    if (!turned && (turned.error().code == ErrorCode::kInternal || turned.error().code == ErrorCode::kProtocol)) {
      throw Violation("the program: " + turned.error().message);
    }
    if (!turned || session_->ended()) {
      end_session(turned.has_value());
      if (!turned && turned.error().code == ErrorCode::kFenced) {
        split_commit_ = {};  // the process ends
      }
      return;
    }
    connection_->advance(now_);
    sink_->advance(now_);
  }
}

void World::end_session(bool stopped) {
  trace_.note("session ends", stopped ? 1 : 0);
  const bool in_time = stopped && now_ - stopped_at_ < plan_.pipeline.drain_timeout;
  checker_.session_ended(in_time && connection_->server_confirmed_stop());
  split_commit_ = session_->split_commit() == Lsn{} ? split_commit_ : session_->split_commit();
  session_.reset();
  sink_->close();
  sink_.reset();
  connection_->close_client(now_);
  crash_.disarm();
  kill_at_ = TimePoint::max();
  start_at_ = now_ + random_.time(milliseconds(1), milliseconds(1000));
}

void World::kill() {
  trace_.note("killed");
  end_session(false);
  split_commit_ = {};
}

bool World::settled() const {
  return session_ != nullptr && checker_.everything_stored() && slot_.confirmed_flush == database_.wal_end();
}

// No more faults: everything must arrive and be confirmed, up to the end of the WAL.
void World::settle() {
  const Duration limit = plan_.mode == Mode::kExactlyOnce ? kSettleInParts : kSettle;
  TimePoint calm = now_;
  for (const Fault& fault : plan_.faults) {
    calm = std::max(calm, fault.at + fault.length);
  }
  while (!server_is_up_ || server_is_stopping_) {
    happen();
    if (now_ > calm + limit) {
      throw Violation("standstill: the server can not stop");
    }
  }
  database_.finish_open_transactions(wall(now_));
  while (!settled()) {
    happen();
    if (now_ > calm + limit) {
      checker_.check_everything_stored();
      throw Violation("standstill: confirmed " + to_string(slot_.confirmed_flush) + " of " + to_string(database_.wal_end()));
    }
  }
}

void World::end() {
  if (plan_.ending == Plan::Ending::kNone || session_->stopping()) {
    return;
  }
  const bool stops_server = plan_.ending == Plan::Ending::kServerStop;
  const std::uint64_t sessions = outcome_.sessions;
  const TimePoint begin = now_;
  if (stops_server) {
    stop_server(milliseconds(100));
  } else {
    stop_session();
  }
  while (session_ != nullptr || server_is_stopping_) {
    happen();
    if (now_ - begin > seconds(2)) {
      throw Violation("standstill: a stop without load takes more than two seconds");
    }
  }
  while (outcome_.sessions == sessions || !settled()) {
    happen();
    if (now_ - begin > kSettle) {
      throw Violation("standstill: nothing follows a stop");
    }
  }
}

}  // namespace outboxx::simulation
