// Benchmarks of the parts: decode, serialize per format, both together, the whole pipeline, ack tracking, produce. One
// iteration is one row; the rows are recorded ones (tests/golden/pgoutput/benchmark).
#include <benchmark/benchmark.h>
#include <poll.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ack_tracker.h"
#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/signal_fd.h"
#include "fakes/instant_sink.h"
#include "fakes/recording.h"
#include "fakes/replayed_stream.h"
#include "format/format.h"
#include "model/change.h"
#include "pipeline.h"
#include "postgres/pgoutput.h"
#include "postgres/relation_cache.h"
#include "sink/kafka_mock.h"
#include "sink/kafka_sink.h"

namespace outboxx {
namespace {

struct NamedFormat {
  const char* name;
  FormatName format;
};
// A new format is a line here.
constexpr NamedFormat kFormats[] = {
    {"outboxx_json", FormatName::kOutboxxJson},
};
constexpr const char* kRecordings[] = {"insert",         "insert_wide", "update_full",
                                       "update_default", "delete_full", "delete_default"};

// Walks in a circle over the rows of a recording.
class Rows {
 public:
  explicit Rows(const std::string& name) : recording_(load_recording(name)) {
    CHECK(!recording_.rows.empty());
    for (const std::string& frame : recording_.descriptions) {
      const auto message = decoder_.decode(Recording::message_of(frame), {});
      CHECK(message);
      if (const auto* description = std::get_if<pgoutput::RelationDescription>(*message)) {
        relation_ = &relations_.update(*description);
      }
    }
    CHECK(relation_ != nullptr);
  }

  [[nodiscard]] const std::vector<std::string>& frames() const { return recording_.rows; }

  // Valid until the decoder's next decode().
  [[nodiscard]] Change change(const pgoutput::Message& message) const {
    Change change;
    change.relation = relation_;
    change.transaction = &transaction_;
    change.lsn = recording_.start;
    if (const auto* insert = std::get_if<pgoutput::Insert>(&message)) {
      change.new_row = insert->new_row;
    } else if (const auto* update = std::get_if<pgoutput::Update>(&message)) {
      change.operation = Operation::kUpdate;
      change.new_row = update->new_row;
      change.old_row = update->old_row;
      change.old_row_kind = update->old_row_kind;
    } else if (const auto* remove = std::get_if<pgoutput::Delete>(&message)) {
      change.operation = Operation::kDelete;
      change.old_row = remove->old_row;
      change.old_row_kind = remove->old_row_kind;
    }
    return change;
  }

 private:
  Recording recording_;
  pgoutput::Decoder decoder_;
  RelationCache relations_;
  const Relation* relation_ = nullptr;
  Transaction transaction_{.final_lsn = {}, .commit_time = WallTime(std::chrono::seconds(1'700'000'000)), .xid = 1};
};

void step(std::size_t& index, std::size_t size) {
  index = index + 1 == size ? 0 : index + 1;
}

void decode(benchmark::State& state, const std::string& name) {
  const Rows rows(name);
  pgoutput::Decoder decoder;
  std::size_t index = 0;
  for ([[maybe_unused]] auto _ : state) {
    const auto message = decoder.decode(Recording::message_of(rows.frames()[index]), {});
    benchmark::DoNotOptimize(message);
    step(index, rows.frames().size());
  }
}

void serialize(benchmark::State& state, const std::string& name, FormatName format_name) {
  const Rows rows(name);
  const auto format = make_format(benchmark_stream(format_name), {});
  std::vector<pgoutput::Decoder> decoders(rows.frames().size());  // each keeps its row
  std::vector<Change> changes;
  for (std::size_t index = 0; index < decoders.size(); ++index) {
    const auto message = decoders[index].decode(Recording::message_of(rows.frames()[index]), {});
    CHECK(message);
    changes.push_back(rows.change(**message));
  }
  Record record;
  std::size_t index = 0;
  for ([[maybe_unused]] auto _ : state) {
    CHECK(format->serialize(changes[index], record));
    benchmark::DoNotOptimize(record.value.data());
    step(index, changes.size());
  }
}

void decode_and_serialize(benchmark::State& state, const std::string& name, FormatName format_name) {
  const Rows rows(name);
  const auto format = make_format(benchmark_stream(format_name), {});
  pgoutput::Decoder decoder;
  Record record;
  std::size_t index = 0;
  for ([[maybe_unused]] auto _ : state) {
    const auto message = decoder.decode(Recording::message_of(rows.frames()[index]), {});
    CHECK(message && format->serialize(rows.change(**message), record));
    benchmark::DoNotOptimize(record.value.data());
    step(index, rows.frames().size());
  }
}

// From the bytes of CopyData to the call of the sink, with everything that the loop does beside.
void pipeline(benchmark::State& state, const Scenario& scenario, FormatName format_name) {
  constexpr std::size_t kRows = 100'000;
  const std::vector<StreamConfig> streams{benchmark_stream(format_name)};
  const auto signals = SignalFd::create();
  CHECK(signals);
  Recording recording = load_recording(scenario.recording);
  while (state.KeepRunningBatch(kRows)) {
    ReplayedStream stream(recording, scenario.rows_per_transaction, kRows);
    InstantSink sink;
    Metrics metrics;
    metrics.streams.emplace_back();
    Pipeline loop(
        {.stream = stream, .sink = sink, .monitor = nullptr, .signals = *signals, .metrics = metrics, .streams = streams}, {},
        {.confirmed_flush = stream.start(), .wal_sender_timeout = {}, .format = {}}, Clock::now());
    CHECK(loop.run());
  }
}

void track(benchmark::State& state) {
  const auto rows = static_cast<std::uint64_t>(state.range(0));
  AckTracker tracker(Lsn{1});
  std::uint64_t lsn = 1;
  while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(rows))) {
    const UnitId unit = tracker.begin(Lsn{lsn + 1}, {}, {});
    for (std::uint64_t row = 0; row < rows; ++row) {
      tracker.add_record();
    }
    tracker.commit(Lsn{lsn += 2});
    tracker.delivered(unit, rows);
    CHECK(tracker.next_completed());
  }
}

// CPU is our thread's alone. The broker is librdkafka's own, in this process.
void produce(benchmark::State& state, bool id_header) {
  MockKafka kafka;
  kafka.create_topic("benchmark", 1);
  KafkaOptions options;
  options.brokers = {kafka.brokers()};
  options.tls = false;
  options.id_header = id_header;
  options.compression = "none";
  Metrics metrics;
  const auto sink = KafkaSink::create(options, std::vector<std::string>{"benchmark"}, metrics);
  CHECK(sink && (*sink)->open(Clock::now() + std::chrono::seconds(30), StopSignal{}));
  Record record;
  record.key = "1000000";
  record.value.assign(442, 'x');
  for ([[maybe_unused]] auto _ : state) {
    for (auto admission = (*sink)->produce(record, 1); true; admission = (*sink)->produce(record, 1)) {
      CHECK(admission);
      if (*admission == Admission::kAccepted) {
        break;
      }
      CHECK((*sink)->flush());
      pollfd fd = (*sink)->poll_fd();
      ::poll(&fd, 1, 1000);
      CHECK((*sink)->poll());
    }
    ++record.id.ordinal;
  }
}

void register_all() {
  for (const char* name : kRecordings) {
    benchmark::RegisterBenchmark((std::string("decode/") + name).c_str(), decode, name);
  }
  for (const NamedFormat& format : kFormats) {
    for (const char* name : kRecordings) {
      const std::string suffix = std::string("/") + format.name + "/" + name;
      benchmark::RegisterBenchmark(("serialize" + suffix).c_str(), serialize, name, format.format);
      benchmark::RegisterBenchmark(("decode_and_serialize" + suffix).c_str(), decode_and_serialize, name, format.format);
    }
    for (const Scenario& scenario : kScenarios) {
      benchmark::RegisterBenchmark((std::string("pipeline/") + format.name + "/" + scenario.name).c_str(), pipeline, scenario,
                                   format.format);
    }
  }
  benchmark::RegisterBenchmark("ack_tracker/rows_per_transaction", track)->Arg(1)->Arg(10'000);
  benchmark::RegisterBenchmark("produce/plain", produce, false);
  benchmark::RegisterBenchmark("produce/id_header", produce, true);
}

}  // namespace
}  // namespace outboxx

int main(int argc, char** argv) {
  outboxx::log::configure(outboxx::log::Level::kError, outboxx::log::LogFormat::kText);
  outboxx::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
