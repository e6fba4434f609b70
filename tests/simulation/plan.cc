#include "simulation/plan.h"

#include <algorithm>

namespace outboxx::simulation {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

template <typename T, std::size_t count>
T one_of(Random& random, const T (&choices)[count]) {
  return choices[random.below(count)];
}

std::uint64_t fault_kinds(Mode mode) {
  switch (mode) {
    case Mode::kNoState:
      return static_cast<std::uint64_t>(FaultKind::kDropSlot);
    case Mode::kAtLeastOnce:
      return static_cast<std::uint64_t>(FaultKind::kFence);
    case Mode::kExactlyOnce:
      return static_cast<std::uint64_t>(FaultKind::kFailCommit) + 1;
  }
  return 0;
}

Fault random_fault(Random& random, Mode mode, TimePoint end) {
  const auto kind = static_cast<FaultKind>(random.below(fault_kinds(mode)));
  Duration longest = seconds(random.percent(20) ? 60 : 4);
  if (kind == FaultKind::kServerCrash || kind == FaultKind::kServerStop) {
    longest = seconds(2);
  }
  return {.at = kBegin + random.time(Duration{0}, end - kBegin), .kind = kind, .length = random.time(milliseconds(1), longest)};
}

}  // namespace

Plan make_plan(Random& random) {
  Plan plan;
  plan.server_version = static_cast<int>(random.between(14, 18));
  plan.mode = one_of<Mode>(random, {Mode::kNoState, Mode::kAtLeastOnce, Mode::kExactlyOnce});
  plan.progress = {.is_transactional = plan.mode == Mode::kExactlyOnce,
                   .batch_bytes = one_of<std::uint64_t>(random, {500, 5'000, 5'000'000}),
                   .batch_records = one_of<std::uint64_t>(random, {1, 20, 10'000}),
                   .batch_age = one_of<milliseconds>(random, {milliseconds(1), milliseconds(20), milliseconds(200)}),
                   .split_bytes = one_of<std::uint64_t>(random, {800, 8'000, 100'000'000}),
                   .may_split = true};
  plan.walsender = {.timeout = one_of<Duration>(random, {seconds(0), seconds(1), seconds(5), seconds(60)}),
                    .sends_empty = plan.server_version < 15,
                    .noise_percent = one_of<std::uint64_t>(random, {0, 2, 20})};
  plan.connection = {.delay_max = one_of<Duration>(random, {microseconds(50), milliseconds(1), milliseconds(20)}),
                     .messages_max = one_of<std::size_t>(random, {2, 50, 3000}),
                     .low_water_percent = one_of<std::uint64_t>(random, {0, 50})};
  plan.broker = {.partitions = random.between(1, 4),
                 .capacity = one_of<std::size_t>(random, {1, 20, 500, 100'000}),
                 .batch_max = one_of<std::size_t>(random, {1, 10, 1000}),
                 .store_max = one_of<Duration>(random, {microseconds(200), milliseconds(5), milliseconds(300)}),
                 .acknowledge_max = one_of<Duration>(random, {microseconds(200), milliseconds(5), milliseconds(300)})};
  if (plan.broker.capacity == 1) {  // a record at a time: only a fast broker ends within the bound
    plan.broker.store_max = plan.broker.acknowledge_max = microseconds(200);
  }
  plan.pipeline.drain_timeout = one_of<milliseconds>(random, {milliseconds(300), milliseconds(10'000)});
  plan.pipeline.shutdown_grace = one_of<milliseconds>(random, {milliseconds(2'000), milliseconds(10'000)});
  plan.statement_gap_max = one_of<Duration>(random, {microseconds(500), milliseconds(5), milliseconds(50)});
  plan.work_end = kBegin + plan.statement_gap_max * static_cast<Duration::rep>(random.between(50, 400));

  const std::uint64_t faults = random.below(8);
  for (std::uint64_t count = 0; count < faults; ++count) {
    plan.faults.push_back(random_fault(random, plan.mode, plan.work_end));
  }
  plan.is_killed_in_first_start = plan.mode != Mode::kNoState && random.percent(20);
  // Most of the time no transaction is split: what ends a process amid one has to come often.
  const std::uint64_t ends = plan.mode == Mode::kExactlyOnce && plan.progress.split_bytes < plan.progress.batch_bytes ? 6 : 0;
  for (std::uint64_t count = 0; count < ends; ++count) {
    Fault fault = random_fault(random, plan.mode, plan.work_end);
    fault.kind = random.percent(70) ? FaultKind::kKill : FaultKind::kFence;
    plan.faults.push_back(fault);
  }
  std::ranges::sort(plan.faults, {}, &Fault::at);
  plan.ending = static_cast<Plan::Ending>(random.below(3));
  plan.broker.linger = one_of<milliseconds>(random, {milliseconds(0), milliseconds(3), milliseconds(50)});
  return plan;
}

}  // namespace outboxx::simulation
