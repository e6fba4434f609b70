#include "metrics_text.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <utility>

#include "base/metrics.h"
#include "base/snapshot_progress.h"
#include "base/time.h"

namespace outboxx {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

constexpr std::int64_t kNowUs = 1'000'000'000;
constexpr std::int64_t kWallUs = 1'764'000'000'000'000;

ScrapeMoment moment() {
  return {.now = TimePoint(microseconds(kNowUs)),
          .wall_now = WallTime(microseconds(kWallUs)),
          .log_lines_dropped = 7,
          .process = {.cpu_seconds = 1.25, .resident_bytes = 16'777'216, .open_fds = 12, .start_time_seconds = 1764000000.5}};
}

BuildInfo build() {
  return {.version = "1.0.0", .libpq = "15.14", .librdkafka = "2.0.2"};
}

std::string text_of(const Metrics& metrics) {
  return metrics_text(metrics, build(), moment());
}

// The line of a sample, without its end; empty if there is none.
std::string sample(const Metrics& metrics, const std::string& name) {
  const std::string text = "\n" + text_of(metrics);
  const auto at = text.find("\n" + name);
  return at == std::string::npos ? "" : text.substr(at + 1, text.find('\n', at + 1) - at - 1);
}

void fill_snapshot(SnapshotProgress& snapshot) {
  snapshot.state.set(std::to_underlying(SnapshotRunState::kReading));
  snapshot.started_us.set(kWallUs - 51'250'000);
  for (const std::uint64_t table : {0U, 10U}) {
    SnapshotTableProgress& progress = snapshot.table("public.t" + std::to_string(table));
    progress.rows.add(51 + table);
    progress.bytes.add(52 + table);
    progress.blocks_total.set(static_cast<std::int64_t>(53 + table));
    progress.blocks_done.set(static_cast<std::int64_t>(54 + table));
  }
}

// Every value differs, so that none can stand for another.
void fill(Metrics& metrics) {
  StreamMetrics& stream = metrics.streams.emplace_back();
  stream.name = "orders";
  stream.inserts.add(1);
  stream.updates.add(2);
  stream.deletes.add(3);
  stream.reads.add(4);
  stream.bytes.add(5);
  metrics.wake_ups.add(11);
  metrics.messages_received.add(12);
  metrics.bytes_received.add(13);
  metrics.transactions.add(14);
  metrics.changes_skipped.add(15);
  metrics.changes_repeated.add(16);
  metrics.invalid_utf8.add(16);
  metrics.received_lsn.set(0x1FFFFFFFFFFFFF);
  metrics.flushed_lsn.set(22);
  metrics.progress_lsn.set(21);
  metrics.confirmed_lsn.set(23);
  metrics.restart_lsn.set(24);
  metrics.slot_lag_bytes.set(25);
  metrics.slot_retained_bytes.set(26);
  metrics.slot_safe_bytes.set(27);
  metrics.records_delivered.add(31);
  metrics.produce_errors.add(32);
  metrics.progress_records.add(34);
  metrics.delivery_restarts.add(33);
  for (std::size_t cause = 0; cause < metrics.reconnects.size(); ++cause) {
    metrics.reconnects[cause].add(101 + cause);
  }
  metrics.units_pending.set(34);
  metrics.oldest_unit_age_us.set(35'500'000);
  metrics.in_flight_bytes.set(36);
  metrics.in_flight_records.set(37);
  metrics.sink_queue_records.set(38);
  metrics.last_commit_us.set(kWallUs - 39'250'000);
  metrics.commit_to_ack.observe(400);
  metrics.commit_to_ack.observe(1'500'000);
  metrics.commit_to_ack.observe(900'000'000);
  metrics.loop_progress_us.set(kNowUs - 41'500'000);
  metrics.streaming.set(1);
  metrics.sink_reachable.set(1);
  metrics.reading_paused.set(1);
  fill_snapshot(metrics.snapshot);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(MetricsText, ShowsEveryMetric) {
  Metrics metrics;
  fill(metrics);
  EXPECT_EQ(text_of(metrics), read_file(OUTBOXX_GOLDEN_DIR "/metrics.txt"));
}

TEST(MetricsText, LagIsZeroOnceCaughtUpOrBeforeTheFirstCommitOrAheadOfOurClock) {
  Metrics metrics;
  EXPECT_EQ(sample(metrics, "outboxx_replication_lag_seconds"), "outboxx_replication_lag_seconds 0");
  metrics.last_commit_us.set(kWallUs - 2'500'000);
  EXPECT_EQ(sample(metrics, "outboxx_replication_lag_seconds"), "outboxx_replication_lag_seconds 2.5");
  metrics.caught_up.set(1);
  EXPECT_EQ(sample(metrics, "outboxx_replication_lag_seconds"), "outboxx_replication_lag_seconds 0");
  metrics.caught_up.set(0);
  metrics.last_commit_us.set(kWallUs + 1);
  EXPECT_EQ(sample(metrics, "outboxx_replication_lag_seconds"), "outboxx_replication_lag_seconds 0");
}

TEST(MetricsText, SlotWithoutALimitIsInfinitelySafe) {
  Metrics metrics;
  EXPECT_EQ(sample(metrics, "outboxx_slot_safe_bytes"), "outboxx_slot_safe_bytes +Inf");
  metrics.slot_safe_bytes.set(0);
  EXPECT_EQ(sample(metrics, "outboxx_slot_safe_bytes"), "outboxx_slot_safe_bytes 0");
}

TEST(MetricsText, SnapshotRunsUntilItIsCompleteAndThenItsTimeStands) {
  Metrics metrics;
  EXPECT_EQ(sample(metrics, "outboxx_snapshot_running"), "outboxx_snapshot_running 0");
  EXPECT_EQ(sample(metrics, "outboxx_snapshot_seconds"), "outboxx_snapshot_seconds 0");
  metrics.snapshot.started_us.set(kWallUs - 90'000'000);
  for (const SnapshotRunState state : {SnapshotRunState::kWaiting, SnapshotRunState::kReading}) {
    metrics.snapshot.state.set(std::to_underlying(state));
    EXPECT_EQ(sample(metrics, "outboxx_snapshot_running"), "outboxx_snapshot_running 1");
    EXPECT_EQ(sample(metrics, "outboxx_snapshot_seconds"), "outboxx_snapshot_seconds 90");
  }
  metrics.snapshot.state.set(std::to_underlying(SnapshotRunState::kDone));
  metrics.snapshot.ended_us.set(kWallUs - 80'000'000);
  EXPECT_EQ(sample(metrics, "outboxx_snapshot_running"), "outboxx_snapshot_running 0");
  EXPECT_EQ(sample(metrics, "outboxx_snapshot_seconds"), "outboxx_snapshot_seconds 10");
}

TEST(MetricsText, TheTablesBeyondTwoHundredAreOneSample) {
  Metrics metrics;
  for (int table = 0; table < 200; ++table) {
    metrics.snapshot.table("public.t" + std::to_string(table)).rows.add();
  }
  const std::string name = "outboxx_snapshot_rows_total";
  EXPECT_EQ(sample(metrics, name + "{table=\"public.t199\"}"), name + "{table=\"public.t199\"} 1");
  EXPECT_EQ(sample(metrics, name + "{table=\"other\"}"), "");
  metrics.snapshot.table("public.t200").rows.add(7);
  metrics.snapshot.table("public.t201").rows.add(8);
  EXPECT_EQ(sample(metrics, name + "{table=\"public.t200\"}"), "");
  EXPECT_EQ(sample(metrics, name + "{table=\"other\"}"), name + "{table=\"other\"} 15");
}

TEST(MetricsText, EscapesLabelValues) {
  Metrics metrics;
  metrics.streams.emplace_back().name = "a\"b\\c\nd";
  EXPECT_EQ(sample(metrics, "outboxx_stream_bytes_total"), R"(outboxx_stream_bytes_total{stream="a\"b\\c\nd"} 0)");
}

TEST(MetricsText, EveryLineIsACommentOrASampleOfAnAnnouncedMetric) {
  Metrics metrics;
  fill(metrics);
  static const std::regex kSample(
      R"re(([a-z0-9_]+?)(_bucket|_sum|_count)?(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? ([0-9.e+-]+|\+Inf))re");
  std::istringstream text(text_of(metrics));
  std::string announced;
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with("# TYPE ")) {
      announced = line.substr(7, line.find(' ', 7) - 7);
    } else if (!line.starts_with("# HELP ")) {
      std::smatch match;
      ASSERT_TRUE(std::regex_match(line, match, kSample)) << line;
      EXPECT_EQ(match[1].str(), announced);
    }
  }
}

TEST(LoopProgressAge, CountsOnlyWhileStreaming) {
  Metrics metrics;
  const TimePoint now{microseconds(kNowUs)};
  EXPECT_EQ(loop_progress_age(metrics, now), Duration{});
  metrics.streaming.set(1);
  EXPECT_EQ(loop_progress_age(metrics, now), microseconds(kNowUs));
  metrics.loop_progress_us.set(kNowUs + 5);
  EXPECT_EQ(loop_progress_age(metrics, now), Duration{});
}

using Types = std::map<std::string, std::string>;

Types types_found(const std::string& text, const std::regex& pattern) {
  Types types;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern); match != std::sregex_iterator(); ++match) {
    types[(*match)[1].str()] = (*match)[2].str();
  }
  return types;
}

TEST(MetricsText, IsWhatTheDocumentationLists) {
  const std::string documentation = read_file(OUTBOXX_GOLDEN_DIR "/../../docs/metrics.md");
  EXPECT_EQ(types_found(text_of(Metrics()), std::regex(R"(# TYPE (\w+) (\w+))")),
            types_found(documentation, std::regex(R"(\n\| `(\w+)` \| (\w+) \|)")));
}

}  // namespace
}  // namespace outboxx
