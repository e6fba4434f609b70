// Plan: what a seed decides before the run begins: the servers, the network, the workload and the faults.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "pipeline_options.h"
#include "progress_options.h"
#include "simulation/broker.h"
#include "simulation/connection.h"
#include "simulation/random.h"
#include "simulation/walsender.h"

namespace outboxx::simulation {

enum class FaultKind : std::uint8_t {
  kKill,          // SIGKILL of the program between two of its effects
  kStop,          // SIGTERM
  kFreeze,        // SIGSTOP and, later, SIGCONT
  kReset,         // the connection to PostgreSQL, with what was on its way
  kClose,         // the same by FIN
  kBlackHole,     // nothing passes to and from PostgreSQL for a while
  kServerCrash,   // and recovery
  kServerStop,    // fast shutdown and start
  kStall,         // a partition without a leader
  kFailDelivery,  // a request that ends with an error
  kRefuseRecord,  // produce() with an error
  kCheckpoint,    // no fault: saves the slot
  // Where a state record is kept: a kill, and before the next start (starter.h)
  kDropSlot,
  kRecreateSlot,
  kAdvanceSlot,
  kWrongServer,
  kRecreatePublication,
  kKillInStart,
  // Exactly once.
  kFence,       // another producer of the same transactional id comes and goes
  kFailCommit,  // nobody learns how a Kafka transaction ended
};

struct Fault {
  TimePoint at;
  FaultKind kind;
  Duration length;
};

// Where time begins: no special value, and not zero.
inline constexpr TimePoint kBegin{std::chrono::seconds(1'000'000)};

struct Plan {
  int server_version = 15;
  Mode mode = Mode::kNoState;
  ProgressOptions progress;
  bool is_killed_in_first_start = false;
  Walsender::Options walsender;
  Connection::Options connection;
  BrokerSink::Options broker;
  PipelineOptions pipeline;
  Duration statement_gap_max{};
  TimePoint work_end;
  std::vector<Fault> faults;
  enum class Ending : std::uint8_t { kNone, kStopAndStart, kServerStop } ending = Ending::kNone;
};

[[nodiscard]] Plan make_plan(Random& random);

}  // namespace outboxx::simulation
