// Metrics: what the pipeline's thread counts and the HTTP thread reads. Plain relaxed atomics: each has one writer.
//
// Names, units and meanings are in docs/metrics.md; metrics_text.cc gives them their Prometheus names.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "base/counter.h"
#include "base/snapshot_progress.h"

namespace outboxx {

// Latency in buckets of fixed upper bounds, in microseconds.
class LatencyHistogram {
 public:
  static constexpr std::array<std::int64_t, 16> kBoundsUs = {
      500,     1'000,   2'000,     5'000,     10'000,    20'000,     50'000,     100'000,
      200'000, 500'000, 1'000'000, 2'000'000, 5'000'000, 10'000'000, 60'000'000, 600'000'000};

  void observe(std::int64_t microseconds) {
    std::size_t bucket = 0;
    while (bucket < kBoundsUs.size() && microseconds > kBoundsUs[bucket]) {
      ++bucket;
    }
    buckets_[bucket].add();
    sum_us_.add(static_cast<std::uint64_t>(microseconds));
  }
  // Not cumulative; the last bucket is what lies above the highest bound.
  [[nodiscard]] std::uint64_t bucket(std::size_t index) const { return buckets_[index].value(); }
  [[nodiscard]] std::uint64_t sum_us() const { return sum_us_.value(); }

 private:
  std::array<Counter, kBoundsUs.size() + 1> buckets_;
  Counter sum_us_;
};

// Why a session ended and a new one was begun.
enum class ReconnectCause : std::uint8_t {
  kPostgresUnreachable,  // could not connect, or no answer
  kPostgresLost,         // the connection was lost while it streamed
  kPostgresRestart,      // the server is shutting down or starting, or ended our session
  kPostgresResources,    // no free connection, disk full, out of memory
  kPostgresSlotInUse,    // another session streams from the slot
  kPostgresError,        // another error of the server that may pass
  kKafkaUnreachable,     // no broker answers a new producer
  kKafkaDelivery,        // a delivery failed, or the producer did
};

struct ReconnectLabels {
  const char* side;
  const char* reason;
};

// By cause.
inline constexpr std::array<ReconnectLabels, 8> kReconnectLabels = {{{"postgres", "unreachable"},
                                                                     {"postgres", "lost"},
                                                                     {"postgres", "restart"},
                                                                     {"postgres", "resources"},
                                                                     {"postgres", "slot_in_use"},
                                                                     {"postgres", "error"},
                                                                     {"kafka", "unreachable"},
                                                                     {"kafka", "delivery"}}};

// One per configured stream; records accepted by the sink, by operation.
struct StreamMetrics {
  std::string name;
  Counter inserts;
  Counter updates;
  Counter deletes;
  Counter reads;
  Counter bytes;  // key and value
};

struct Metrics {
  // Receive.
  Counter wake_ups;           // returns of poll(2) that found PostgreSQL readable
  Counter messages_received;  // replication messages: WAL data and keepalives
  Counter bytes_received;
  Counter transactions;
  Counter changes_skipped;   // decoded, and wanted by no stream
  Counter changes_repeated;  // exactly once: came again and had arrived, so they were passed over
  Counter invalid_utf8;      // values of an SQL_ASCII database with replaced bytes

  // Positions, as the 64-bit number of the LSN.
  Gauge received_lsn;
  Gauge flushed_lsn;    // delivered: what we report to PostgreSQL
  Gauge progress_lsn;   // recorded: flushed, as far as the state record says so too
  Gauge confirmed_lsn;  // what the slot says it has (slot monitor)
  Gauge restart_lsn;
  Gauge slot_lag_bytes;       // current WAL end minus confirmed_lsn (slot monitor)
  Gauge slot_retained_bytes;  // current WAL end minus restart_lsn: what the slot keeps on the primary's disk
  Gauge slot_safe_bytes{-1};  // what may still be written before the slot is lost; -1: no limit set

  // Delivery.
  Counter records_delivered;
  Counter produce_errors;     // refused or failed records
  Counter progress_records;   // state records that arrived; in exactly-once mode, Kafka transactions
  Counter delivery_restarts;  // new producers after a failed delivery
  Gauge units_pending;        // transactions and keepalives not yet confirmed
  Gauge oldest_unit_age_us;   // since the oldest unconfirmed unit was received; 0 if there is none
  Gauge in_flight_bytes;
  Gauge in_flight_records;
  Gauge sink_queue_records;  // librdkafka's out queue
  Gauge last_commit_us;      // wall clock of the last commit received, 0: none yet
  Gauge caught_up;           // 1: nothing received is unconfirmed and the server has nothing more for us
  LatencyHistogram commit_to_ack;

  SnapshotProgress snapshot;

  // Sessions begun again, by ReconnectCause.
  std::array<Counter, kReconnectLabels.size()> reconnects;

  // State, for /healthz and /readyz.
  Gauge loop_progress_us;  // monotonic clock at the last turn of the loop
  Gauge streaming;         // 1: START_REPLICATION runs
  Gauge sink_reachable;
  Gauge reading_paused;  // 1: back-pressure

  std::deque<StreamMetrics> streams;  // filled before other threads start, then fixed
};

}  // namespace outboxx
