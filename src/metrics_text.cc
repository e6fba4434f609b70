#include "metrics_text.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "base/snapshot_progress.h"
#include "snapshot_summary.h"

namespace outboxx {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Families = std::vector<MetricFamily>;

constexpr double kMicrosecond = 1e6;  // a second has so many
// A database may have thousands of tables, and each scrape is stored for weeks. Those beyond are one sample, so that sums stay
// right; which ones have their own never changes, for a counter must not vanish and come back. No table has a name without a
// dot.
constexpr std::size_t kSnapshotTablesShown = 200;
constexpr const char* kOtherTables = "other";

double seconds(std::int64_t microseconds) {
  return static_cast<double>(microseconds) / kMicrosecond;
}

MetricFamily& add_family(Families& out, MetricType type, const char* name, const char* help) {
  return out.emplace_back(MetricFamily{.name = name, .help = help, .type = type, .metric = {}});
}

void add_counter(Families& out, const char* name, const char* help, double value) {
  add_family(out, MetricType::Counter, name, help).metric.emplace_back().counter.value = value;
}

void add_counter(Families& out, const char* name, const char* help, const Counter& counter) {
  add_counter(out, name, help, static_cast<double>(counter.value()));
}

void add_gauge(Families& out, const char* name, const char* help, double value) {
  add_family(out, MetricType::Gauge, name, help).metric.emplace_back().gauge.value = value;
}

void add_gauge(Families& out, const char* name, const char* help, const Gauge& gauge) {
  add_gauge(out, name, help, static_cast<double>(gauge.value()));
}

void add_histogram(Families& out, const char* name, const char* help, const LatencyHistogram& histogram) {
  MetricFamily& family = add_family(out, MetricType::Histogram, name, help);
  ClientMetric::Histogram& sample = family.metric.emplace_back().histogram;
  // The total comes from the same reads as the buckets: the writer goes on meanwhile.
  std::uint64_t count = 0;
  for (std::size_t bucket = 0; bucket < LatencyHistogram::kBoundsUs.size(); ++bucket) {
    count += histogram.bucket(bucket);
    sample.bucket.push_back({.cumulative_count = count, .upper_bound = seconds(LatencyHistogram::kBoundsUs[bucket])});
  }
  sample.sample_count = count + histogram.bucket(LatencyHistogram::kBoundsUs.size());
  sample.sample_sum = static_cast<double>(histogram.sum_us()) / kMicrosecond;
}

void add_streams(Families& out, const Metrics& metrics) {
  MetricFamily& events = add_family(out, MetricType::Counter, "outboxx_events_processed_total", "Changes accepted by the sink");
  for (const StreamMetrics& stream : metrics.streams) {
    const std::pair<const char*, const Counter&> operations[] = {
        {"INSERT", stream.inserts}, {"UPDATE", stream.updates}, {"DELETE", stream.deletes}, {"READ", stream.reads}};
    for (const auto& [operation, counter] : operations) {
      ClientMetric& sample = events.metric.emplace_back();
      sample.label = {{"stream", stream.name}, {"operation", operation}};
      sample.counter.value = static_cast<double>(counter.value());
    }
  }
  MetricFamily& bytes =
      add_family(out, MetricType::Counter, "outboxx_stream_bytes_total", "Bytes of keys and values accepted by the sink");
  for (const StreamMetrics& stream : metrics.streams) {
    ClientMetric& sample = bytes.metric.emplace_back();
    sample.label = {{"stream", stream.name}};
    sample.counter.value = static_cast<double>(stream.bytes.value());
  }
}

void add_receive(Families& out, const Metrics& metrics) {
  add_counter(out, "outboxx_wake_ups_total", "Wake-ups that found messages of PostgreSQL", metrics.wake_ups);
  add_counter(out, "outboxx_received_messages_total", "Replication messages received, keepalives included",
              metrics.messages_received);
  add_counter(out, "outboxx_received_bytes_total", "Bytes of WAL data received", metrics.bytes_received);
  add_counter(out, "outboxx_transactions_total", "Transactions received", metrics.transactions);
  add_counter(out, "outboxx_changes_skipped_total", "Changes received that no stream wants", metrics.changes_skipped);
  add_counter(out, "outboxx_changes_repeated_total", "Exactly once: changes that came again and had arrived before",
              metrics.changes_repeated);
  add_counter(out, "outboxx_invalid_utf8_values_total", "Values with bytes that had to be replaced to be UTF-8",
              metrics.invalid_utf8);
}

// Zero once all that was committed is delivered: on a quiet database the last commit only grows older.
double replication_lag_seconds(const Metrics& metrics, WallTime now) {
  const std::int64_t last_commit = metrics.last_commit_us.value();
  if (metrics.caught_up.value() == 1 || last_commit == 0) {
    return 0;
  }
  return seconds(std::max<std::int64_t>(0, now.time_since_epoch().count() - last_commit));  // the server's clock may be ahead
}

void add_positions(Families& out, const Metrics& metrics) {
  add_gauge(out, "outboxx_received_lsn", "Position up to which WAL was received", metrics.received_lsn);
  add_gauge(out, "outboxx_flushed_lsn", "Position up to which everything is delivered", metrics.flushed_lsn);
  add_gauge(out, "outboxx_progress_lsn", "Position up to which everything is delivered and recorded, as reported to PostgreSQL",
            metrics.progress_lsn);
  add_gauge(out, "outboxx_confirmed_lsn", "confirmed_flush_lsn of the replication slot", metrics.confirmed_lsn);
  add_gauge(out, "outboxx_restart_lsn", "restart_lsn of the replication slot", metrics.restart_lsn);
  add_gauge(out, "outboxx_slot_lag_bytes", "WAL written by the server and not confirmed", metrics.slot_lag_bytes);
  add_gauge(out, "outboxx_slot_retained_bytes", "WAL that the server keeps for the replication slot",
            metrics.slot_retained_bytes);
  // Without a limit any number would be a wrong one to compare with.
  const std::int64_t safe_bytes = metrics.slot_safe_bytes.value();
  add_gauge(out, "outboxx_slot_safe_bytes", "WAL that may still be written before the replication slot is lost",
            safe_bytes < 0 ? std::numeric_limits<double>::infinity() : static_cast<double>(safe_bytes));
}

void add_delivery(Families& out, const Metrics& metrics) {
  add_counter(out, "outboxx_records_delivered_total", "Records acknowledged by the sink", metrics.records_delivered);
  add_counter(out, "outboxx_produce_errors_total", "Records that the sink refused or failed to deliver",
              metrics.produce_errors);
  add_counter(out, "outboxx_progress_records_total", "State records that arrived; exactly once: Kafka transactions committed",
              metrics.progress_records);
  add_counter(out, "outboxx_delivery_restarts_total", "Sessions begun again after a failed delivery",
              metrics.delivery_restarts);
  add_gauge(out, "outboxx_units_pending", "Transactions and keepalives not yet confirmed", metrics.units_pending);
  add_gauge(out, "outboxx_oldest_unit_age_seconds", "Since the oldest unconfirmed transaction or keepalive was received",
            seconds(metrics.oldest_unit_age_us.value()));
  add_gauge(out, "outboxx_in_flight_bytes", "Bytes of records produced and not yet acknowledged", metrics.in_flight_bytes);
  add_gauge(out, "outboxx_in_flight_records", "Records produced and not yet acknowledged", metrics.in_flight_records);
  add_gauge(out, "outboxx_sink_queue_records", "Length of librdkafka's out queue", metrics.sink_queue_records);
  add_histogram(out, "outboxx_commit_to_ack_seconds", "From a transaction's commit to the acknowledgement of its last record",
                metrics.commit_to_ack);
}

void add_reconnects(Families& out, const Metrics& metrics) {
  MetricFamily& family = add_family(out, MetricType::Counter, "outboxx_reconnects_total",
                                    "Sessions that ended with a failure that may pass, and were begun again");
  for (std::size_t cause = 0; cause < kReconnectLabels.size(); ++cause) {
    ClientMetric& sample = family.metric.emplace_back();
    sample.label = {{"side", kReconnectLabels[cause].side}, {"reason", kReconnectLabels[cause].reason}};
    sample.counter.value = static_cast<double>(metrics.reconnects[cause].value());
  }
}

void add_state(Families& out, const Metrics& metrics, const ScrapeMoment& moment) {
  add_gauge(out, "outboxx_streaming", "1 while the replication stream runs", metrics.streaming);
  add_gauge(out, "outboxx_sink_reachable", "1 while the sink answers", metrics.sink_reachable);
  add_gauge(out, "outboxx_reading_paused", "1 while nothing is read from PostgreSQL because the sink is behind",
            metrics.reading_paused);
  add_gauge(out, "outboxx_loop_progress_age_seconds", "Since the last turn of the loop, 0 while it does not run",
            std::chrono::duration<double>(loop_progress_age(metrics, moment.now)).count());
  add_counter(out, "outboxx_log_lines_dropped_total", "Log lines that standard error did not take",
              static_cast<double>(moment.log_lines_dropped));
}

void add_table_sample(MetricFamily& family, const std::string& table, double value) {
  ClientMetric& sample = family.metric.emplace_back();
  sample.label = {{"table", table}};
  (family.type == MetricType::Counter ? sample.counter.value : sample.gauge.value) = value;
}

void add_snapshot_tables(MetricFamily& family, const SnapshotProgress& progress,
                         double (*value)(const SnapshotTableProgress&)) {
  std::size_t count = 0;
  double others = 0;
  for (const SnapshotTableProgress* table = progress.first(); table != nullptr; table = next(*table)) {
    if (++count <= kSnapshotTablesShown) {
      add_table_sample(family, table->name, value(*table));
    } else {
      others += value(*table);
    }
  }
  if (count > kSnapshotTablesShown) {
    add_table_sample(family, kOtherTables, others);
  }
}

void add_snapshot(Families& out, const SnapshotProgress& progress, WallTime now) {
  const SnapshotSummary summary = summarize(progress, now);
  add_gauge(out, "outboxx_snapshot_running", "1 while a snapshot is read", summary.is_running() ? 1 : 0);
  add_gauge(out, "outboxx_snapshot_seconds", "Since the snapshot began, or how long the last one took",
            seconds(summary.elapsed.count()));
  add_snapshot_tables(
      add_family(out, MetricType::Counter, "outboxx_snapshot_rows_total", "Rows of snapshots accepted by the sink"), progress,
      [](const SnapshotTableProgress& table) { return static_cast<double>(table.rows.value()); });
  add_snapshot_tables(
      add_family(out, MetricType::Counter, "outboxx_snapshot_bytes_total", "Bytes of keys and values of these rows"), progress,
      [](const SnapshotTableProgress& table) { return static_cast<double>(table.bytes.value()); });
  add_snapshot_tables(
      add_family(out, MetricType::Gauge, "outboxx_snapshot_blocks", "Blocks of the table when its snapshot was planned"),
      progress, [](const SnapshotTableProgress& table) { return static_cast<double>(table.blocks_total.value()); });
  add_snapshot_tables(add_family(out, MetricType::Gauge, "outboxx_snapshot_blocks_done", "Blocks whose rows have arrived"),
                      progress,
                      [](const SnapshotTableProgress& table) { return static_cast<double>(table.blocks_done.value()); });
}

void add_process(Families& out, const ProcessUsage& process) {
  add_counter(out, "process_cpu_seconds_total", "User and system CPU time", process.cpu_seconds);
  add_gauge(out, "process_resident_memory_bytes", "Resident memory", static_cast<double>(process.resident_bytes));
  add_gauge(out, "process_open_fds", "Open file descriptors", static_cast<double>(process.open_fds));
  add_gauge(out, "process_start_time_seconds", "Start of the process, since 1970-01-01 UTC", process.start_time_seconds);
}

void add_build(Families& out, const BuildInfo& build) {
  ClientMetric& sample =
      add_family(out, MetricType::Gauge, "outboxx_build_info", "Versions in use, always 1").metric.emplace_back();
  sample.label = {{"version", build.version}, {"libpq", build.libpq}, {"librdkafka", build.librdkafka}};
  sample.gauge.value = 1;
}

}  // namespace

std::string metrics_text(const Metrics& metrics, const BuildInfo& build, const ScrapeMoment& moment) {
  Families families;
  add_build(families, build);
  add_streams(families, metrics);
  add_receive(families, metrics);
  add_gauge(families, "outboxx_replication_lag_seconds", "Since the last commit received, 0 once everything is delivered",
            replication_lag_seconds(metrics, moment.wall_now));
  add_positions(families, metrics);
  add_delivery(families, metrics);
  add_reconnects(families, metrics);
  add_snapshot(families, metrics.snapshot, moment.wall_now);
  add_state(families, metrics, moment);
  add_process(families, moment.process);
  return prometheus::TextSerializer().Serialize(families);
}

Duration loop_progress_age(const Metrics& metrics, TimePoint now) {
  if (metrics.streaming.value() != 1) {
    return {};
  }
  const TimePoint progress{std::chrono::microseconds(metrics.loop_progress_us.value())};
  return std::max(now - progress, Duration{});
}

}  // namespace outboxx
