// For callgrind: replays each scenario through a pipeline into a sink that only counts, and collects the instructions of the
// measured rows alone. bench/micro/instructions runs it and compares.
#include <valgrind/callgrind.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/metrics.h"
#include "base/signal_fd.h"
#include "fakes/instant_sink.h"
#include "fakes/recording.h"
#include "fakes/replayed_stream.h"
#include "pipeline.h"

namespace outboxx {
namespace {

constexpr std::size_t kWarmUpRows = 2000;
constexpr std::size_t kMeasuredRows = 4000;

void run(const Scenario& scenario, const SignalFd& signals) {
  Recording recording = load_recording(scenario.recording);
  CHECK(!recording.rows.empty());
  ReplayedStream stream(recording, scenario.rows_per_transaction, kWarmUpRows + kMeasuredRows + 1);
  stream.measure(kWarmUpRows, kWarmUpRows + kMeasuredRows, [] { CALLGRIND_TOGGLE_COLLECT; }, [] { CALLGRIND_TOGGLE_COLLECT; });
  const std::vector<StreamConfig> streams{benchmark_stream(FormatName::kOutboxxJson)};
  InstantSink sink;
  Metrics metrics;
  metrics.streams.emplace_back();
  Pipeline pipeline(
      {.stream = stream, .sink = sink, .monitor = nullptr, .signals = signals, .metrics = metrics, .streams = streams}, {},
      {.confirmed_flush = stream.start(), .wal_sender_timeout = {}, .format = {}}, Clock::now());
  CHECK(pipeline.run());
  CHECK(sink.records() == stream.rows());
  CALLGRIND_DUMP_STATS_AT(scenario.name);
  std::printf("%s %zu\n", scenario.name, kMeasuredRows);
}

}  // namespace
}  // namespace outboxx

int main() {
  const auto signals = outboxx::SignalFd::create();
  CHECK(signals);
  for (const outboxx::Scenario& scenario : outboxx::kScenarios) {
    outboxx::run(scenario, *signals);
  }
  return 0;
}
