// micro_replay BROKERS TOPIC v0|v1 ROWS: replays the recorded inserts from memory through the real pipeline and Kafka sink,
// with the defaults of a v0 or v1 configuration, and prints what it took as JSON. Ends when everything is delivered and
// confirmed.
#include <sys/resource.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/signal_fd.h"
#include "base/time.h"
#include "fakes/recording.h"
#include "fakes/replayed_stream.h"
#include "pipeline.h"
#include "sink/kafka_options.h"
#include "sink/kafka_sink.h"

namespace outboxx {
namespace {

constexpr std::size_t kRowsPerTransaction = 10'000;

double cpu_seconds(int who) {
  rusage usage{};
  ::getrusage(who, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Not ru_maxrss: a process inherits that from the one that started it.
long peak_rss_kb() {
  constexpr std::string_view kName = "VmHWM:";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(kName)) {
      return std::strtol(line.c_str() + kName.size(), nullptr, 10);
    }
  }
  return 0;
}

KafkaOptions kafka_options(const std::string& brokers, bool is_v0) {
  KafkaOptions options;
  options.brokers = {brokers};
  options.tls = false;
  if (is_v0) {
    options.partitioner = "consistent_random";
    options.compression = "none";
    options.id_header = false;
  }
  return options;
}

Result<> replay(const KafkaOptions& options, const std::string& topic, std::size_t rows) {
  Recording recording = load_recording("insert");
  ReplayedStream stream(recording, kRowsPerTransaction, rows);
  std::vector<StreamConfig> streams{benchmark_stream(FormatName::kOutboxxJson)};
  streams.front().topic = topic;
  Metrics metrics;
  metrics.streams.emplace_back();
  const SignalFd signals = TRY(SignalFd::create());
  const auto sink = TRY(KafkaSink::create(options, std::vector<std::string>{topic}, metrics));
  TRY(sink->open(Clock::now() + std::chrono::seconds(30), signals.stop()));

  const double cpu = cpu_seconds(RUSAGE_SELF);
  const double caller_cpu = cpu_seconds(RUSAGE_THREAD);
  const TimePoint begin = Clock::now();
  Pipeline pipeline(
      {.stream = stream, .sink = *sink, .monitor = nullptr, .signals = signals, .metrics = metrics, .streams = streams}, {},
      {.confirmed_flush = stream.start(), .wal_sender_timeout = {}, .format = {}}, begin);
  TRY(pipeline.run());
  const std::chrono::duration<double> seconds = Clock::now() - begin;
  std::printf("{\"rows\": %zu, \"seconds\": %.4f, \"cpu_seconds\": %.4f, \"caller_cpu_seconds\": %.4f, \"peak_rss_kb\": %ld}\n",
              stream.rows(), seconds.count(), cpu_seconds(RUSAGE_SELF) - cpu, cpu_seconds(RUSAGE_THREAD) - caller_cpu,
              peak_rss_kb());
  return {};
}

}  // namespace
}  // namespace outboxx

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "micro_replay BROKERS TOPIC v0|v1 ROWS\n");
    return 64;
  }
  outboxx::log::configure(outboxx::log::Level::kError, outboxx::log::LogFormat::kText);
  const auto options = outboxx::kafka_options(argv[1], std::string_view(argv[3]) == "v0");
  const auto result = outboxx::replay(options, argv[2], std::strtoull(argv[4], nullptr, 10));
  if (!result) {
    std::fprintf(stderr, "micro_replay: %s\n", result.error().message.c_str());
    return 1;
  }
  return 0;
}
