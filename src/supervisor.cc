#include "supervisor.h"

#include <charconv>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "base/time.h"
#include "base/wait.h"
#include "make_sink.h"
#include "pipeline.h"
#include "postgres/connection.h"
#include "postgres/libpq_stream.h"
#include "postgres/preflight.h"
#include "postgres/publication.h"
#include "postgres/slot.h"
#include "postgres/slot_monitor.h"
#include "sink/sink.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kSinkOpenTimeout{10};
constexpr seconds kQueryTimeout{10};
// A session that lasted this long was a success: the next failure is tried again without a long wait.
constexpr seconds kSessionSettled{60};

struct OpenStream {
  std::unique_ptr<ReplicationStream> stream;
  SessionStart start;
};

// wal_sender_timeout of the walsender's own session: role and database may override the server's.
Result<milliseconds> read_wal_sender_timeout(Connection& replication, StopSignal stop) {
  const auto result = TRY(replication.query("SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'", {},
                                            Clock::now() + kQueryTimeout, stop));
  const std::string text = result.text(0, 0);
  milliseconds::rep count = 0;
  std::from_chars(text.data(), text.data() + text.size(), count);
  return milliseconds(count);
}

// Opens the slot's stream; waits while another client has it.
Result<OpenStream> open_stream(const Config& config, Connection& sql, StopSignal stop) {
  const PostgresOptions& options = config.postgres;
  while (true) {
    Connection replication = TRY(Connection::open(options, ConnectionMode::kReplication, stop));
    const EnsuredSlot slot = TRY(ensure_slot(replication, sql, options, stop));
    const milliseconds wal_sender_timeout = TRY(read_wal_sender_timeout(replication, stop));
    const bool sql_ascii = replication.is_sql_ascii();
    auto stream = LibpqStream::start(std::move(replication),
                                     {.slot_name = options.slot_name, .publication_name = options.publication_name}, stop);
    if (stream) {
      return OpenStream{.stream = *std::move(stream),
                        .start = {.confirmed_flush = slot.state.confirmed_flush_lsn,
                                  .wal_sender_timeout = wal_sender_timeout,
                                  .format = {.replace_invalid_utf8 = sql_ascii}}};
    }
    if (stream.error().sqlstate != "55006") {  // object_in_use: the slot is active
      return std::unexpected(std::move(stream).error());
    }
    TRY(wait_until_inactive(sql, options.slot_name, std::nullopt, stop));
  }
}

// streamed is set once the stream runs: from then on a failed delivery is a reason to try again, not to give up.
Result<> run_session(const Config& config, const SignalFd& signals, Metrics& metrics, bool& streamed) {
  const StopSignal stop = signals.stop();
  const std::unique_ptr<Sink> sink = TRY(make_sink(config, metrics));  // first: a wrong option needs no server to be seen
  Connection sql = TRY(Connection::open(config.postgres, ConnectionMode::kSql, stop));
  TRY(require(check_postgres(sql, config.postgres, config.streams, stop)));
  // The sink before the slot: a slot that nobody reads fills the primary's disk.
  TRY(sink->open(Clock::now() + kSinkOpenTimeout, stop));
  TRY(ensure_publication(sql, config.postgres, config.streams, stop));
  OpenStream open = TRY(open_stream(config, sql, stop));
  open.start.format.invalid_utf8 = &metrics.invalid_utf8;

  SlotMonitor monitor(std::move(sql), config.postgres.slot_name, metrics, Clock::now());
  Pipeline pipeline({.stream = *open.stream,
                     .sink = *sink,
                     .monitor = &monitor,
                     .signals = signals,
                     .metrics = metrics,
                     .streams = config.streams},
                    config.pipeline, open.start, Clock::now());
  log::info("streaming", {{"slot", config.postgres.slot_name},
                          {"publication", config.postgres.publication_name},
                          {"confirmed_flush_lsn", open.start.confirmed_flush}});
  streamed = true;
  const auto since_boot = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch());
  metrics.loop_progress_us.set(since_boot.count());  // the loop's first turn may be a long wait
  metrics.streaming.set(1);
  Result<> ended = pipeline.run();
  metrics.streaming.set(0);
  if (!ended) {
    sink->abandon();  // its records come again; none of them may land after a successor's
  }
  return ended;
}

}  // namespace

Result<> supervise(const Config& config, const SignalFd& signals, Metrics& metrics) {
  Backoff backoff(seconds(1), seconds(30));
  bool streamed = false;
  while (true) {
    const TimePoint began = Clock::now();
    Result<> ended = run_session(config, signals, metrics, streamed);
    if (ended || ended.error().code != ErrorCode::kKafkaUnreachable || !streamed) {
      return ended;
    }
    if (Clock::now() - began > kSessionSettled) {
      backoff.reset();
    }
    const milliseconds wait = backoff.next();
    metrics.delivery_restarts.add();
    log::warn("delivery failed, starting again from the last confirmed position",
              {{"reason", ended.error().message}, {"wait_ms", wait.count()}});
    TRY(wait_for(-1, 0, Clock::now() + wait, signals.stop()));
  }
}

}  // namespace outboxx
