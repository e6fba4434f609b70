#include "supervisor.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "base/time.h"
#include "base/wait.h"
#include "incremental.h"
#include "make_sink.h"
#include "model/snapshot_job.h"
#include "model/snapshot_state.h"
#include "pipeline.h"
#include "postgres/connection.h"
#include "postgres/libpq_stream.h"
#include "postgres/preflight.h"
#include "postgres/publication.h"
#include "postgres/slot.h"
#include "postgres/slot_monitor.h"
#include "postgres/snapshot_point.h"
#include "postgres/table_watch.h"
#include "retry_policy.h"
#include "sink/sink.h"
#include "sink/stdout_sink.h"
#include "snapshot.h"
#include "snapshot_mailbox.h"
#include "start_decision.h"
#include "start_jobs.h"
#include "start_slot.h"
#include "start_snapshot.h"
#include "state_store.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kSinkOpenTimeout{10};
constexpr seconds kQueryTimeout{10};
// A session that lasted this long was a success, also if there was nothing to deliver.
constexpr seconds kSessionSettled{10};
// A failure that repeats is a warning this often, and a debug line else.
constexpr seconds kRepeatedWarning{30};

// What sessions leave to the next one.
struct History {
  Phase phase = Phase::kFirstStart;  // of the last session's end
  bool has_streamed = false;
  bool made_progress = false;        // the last session
  std::optional<SessionId> session;  // the last one that streamed
  milliseconds silence_limit = kSilenceLimit;
  SnapshotState snapshot;  // if no state is kept
  SnapshotJobs jobs;       // then too
  std::optional<IncrementalSnapshot::FailedJob> failed_job;
  std::vector<IncrementalSnapshot::Ending> job_endings;
  Output output{.fd = STDOUT_FILENO};
  Lsn split_commit;  // the newest transaction that was found to be too large for one Kafka transaction
};

// What all sessions have in common.
struct Wiring {
  const Config& config;
  const SignalFd& signals;
  Metrics& metrics;
  SnapshotMailbox& mailbox;
};

struct OpenStream {
  std::unique_ptr<ReplicationStream> stream;
  SessionStart start;
  SessionId session;
  std::string slot_name;
  std::optional<OpenSnapshot> snapshot;
  SnapshotState arrived;  // of it, before this session
  TableWatch tables{};
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

// What the walsender's session says of itself: before the slot is made, whose snapshot would not outlive a query.
struct SenderFacts {
  milliseconds timeout{};
  SessionId session;
  bool is_sql_ascii = false;
};

Result<SenderFacts> read_sender_facts(Connection& replication, StopSignal stop) {
  return SenderFacts{.timeout = TRY(read_wal_sender_timeout(replication, stop)),
                     .session = TRY(read_session_id(replication, stop)),
                     .is_sql_ascii = replication.is_sql_ascii()};
}

Result<OpenStream> open_slot_stream(const Config& config, Connection& sql, History& history, StopSignal stop) {
  const PostgresOptions& options = config.postgres;
  StateStore store = TRY(StateStore::open(config, pipeline_id(config, sql.database()), stop));
  // What an operator said holds for the first session, not for what a later one finds.
  const StartOverrides overrides{.adopts_slot = config.state.adopts_slot,
                                 .accepts_gap = history.has_streamed ? std::nullopt : config.state.accepts_gap};
  Connection replication = TRY(Connection::open(options, ConnectionMode::kReplication, stop));
  const SenderFacts sender = TRY(read_sender_facts(replication, stop));
  const MissingSlot if_missing = history.has_streamed ? MissingSlot::kRefuse : MissingSlot::kCreate;
  StartedSlot started = TRY(start_slot(
      {.replication = replication, .sql = sql}, options, store,
      {.overrides = overrides, .if_missing = if_missing, .takes_snapshot = takes_snapshot(options, config.streams)}, stop));
  if (!started.state && started.point) {
    log::warn("no state is kept: if this process ends before the snapshot is complete, drop the slot and start anew",
              {{"slot", options.slot_name}});
    history.snapshot = {.is_pending = true, .tables = {}};
  }
  SnapshotState& snapshot_state = started.state ? started.state->snapshot : history.snapshot;
  auto snapshot = TRY(open_pending_snapshot(config, snapshot_state, started, sql, stop));
  if (started.state) {
    TRY(watch_tables(options, config.streams, *started.state, sql, stop));
  }
  auto stream = TRY(LibpqStream::start(std::move(replication),
                                       {.slot_name = options.slot_name, .publication_name = options.publication_name}, stop));
  return OpenStream{.stream = std::move(stream),
                    .start = {.confirmed_flush = started.slot.confirmed_flush_lsn,
                              .wal_sender_timeout = sender.timeout,
                              .format = {.replace_invalid_utf8 = sender.is_sql_ascii},
                              .silence_limit = history.silence_limit,
                              .state = started.state,
                              .state_key = store.key(),
                              .progress = config.progress,
                              .split_commit = history.split_commit},
                    .session = sender.session,
                    .slot_name = options.slot_name,
                    .snapshot = std::move(snapshot),
                    .arrived = snapshot_state};
}

// A temporary slot: the stream from it stays at the snapshot's point, and both are gone when that is read.
Result<OpenStream> open_snapshot_alone(const Config& config, Connection& sql, const History& history, StopSignal stop) {
  const PostgresOptions& options = config.postgres;
  Connection replication = TRY(Connection::open(options, ConnectionMode::kReplication, stop));
  const SenderFacts sender = TRY(read_sender_facts(replication, stop));
  const SnapshotPoint point = TRY(make_snapshot_point(replication, sql, options.slot_name, stop));
  OpenSnapshot snapshot = TRY(open_snapshot(options, config.streams, point, stop));
  const std::string slot_name = temporary_slot_name(options.slot_name);
  auto stream = TRY(
      LibpqStream::start(std::move(replication), {.slot_name = slot_name, .publication_name = options.publication_name}, stop));
  return OpenStream{.stream = std::move(stream),
                    .start = {.confirmed_flush = point.lsn,
                              .wal_sender_timeout = sender.timeout,
                              .format = {.replace_invalid_utf8 = sender.is_sql_ascii},
                              .silence_limit = history.silence_limit,
                              .ends_with_snapshot = true},
                    .session = sender.session,
                    .slot_name = slot_name,
                    .snapshot = std::move(snapshot),
                    .arrived = {}};
}

Result<OpenStream> open_stream(const Config& config, Connection& sql, History& history, StopSignal stop) {
  return config.postgres.snapshot.mode == SnapshotMode::kOnly ? open_snapshot_alone(config, sql, history, stop)
                                                              : open_slot_stream(config, sql, history, stop);
}

// Another session has the slot: one of ours that the server still keeps, or another instance's.
Result<> wait_for_slot(Connection& sql, const std::string& slot_name, const History& history, Metrics& metrics,
                       StopSignal stop) {
  publish_slot_metrics({}, metrics);  // its holder's to tell; ours would be those of this moment, for days perhaps
  if (history.session) {
    TRY(end_left_session(sql, slot_name, *history.session, stop));
  }
  return wait_until_inactive(sql, slot_name, std::nullopt, stop);
}

// Opening a transactional producer ends the work of the one before it. While somebody streams from the slot, that is a healthy
// instance, and its work must not be ended by one that only waits for its turn.
Result<> refuse_to_fence(const Wiring& wiring, Connection& sql, Sink& sink, History& history) {
  const Config& config = wiring.config;
  const StopSignal stop = wiring.signals.stop();
  if (config.kafka.delivery != DeliveryMode::kExactlyOnce || !TRY(read_holder(sql, config.postgres.slot_name, stop))) {
    return {};
  }
  sink.abandon();
  if (history.phase == Phase::kFirstStart) {  // a wrong address is to be noticed now, not when the holder is gone
    TRY(find_missing_topics(config, Clock::now() + kSinkOpenTimeout, stop));
    history.phase = Phase::kConnecting;
  }
  TRY(wait_for_slot(sql, config.postgres.slot_name, history, wiring.metrics, stop));
  history.made_progress = true;
  return std::unexpected(Error{.code = ErrorCode::kPostgresUnreachable,
                               .message = "replication slot \"" + config.postgres.slot_name + "\" was in use",
                               .hint = {},
                               .sqlstate = "55006"});
}

Result<> stream_until_end(const Wiring& wiring, History& history, OpenStream open, Connection sql, Sink& sink) {
  const auto& [config, signals, metrics, mailbox] = wiring;
  open.start.format.invalid_utf8 = &metrics.invalid_utf8;
  SlotMonitor monitor({.sql = std::move(sql),
                       .options = config.postgres,
                       .slot_name = open.slot_name,
                       .sender_pid = open.session.pid,
                       .tables = std::move(open.tables)},
                      metrics, Clock::now());
  std::optional<Snapshot> snapshot;
  if (open.snapshot) {
    snapshot.emplace(Snapshot::Parts{.sink = sink, .metrics = metrics, .streams = config.streams}, *std::move(open.snapshot),
                     open.arrived,
                     Snapshot::Options{.format = open.start.format,
                                       .is_transactional = config.progress.is_transactional,
                                       .chunk_bytes = config.postgres.snapshot.chunk_bytes},
                     Clock::now());
  }
  IncrementalSnapshot incremental(
      {.sink = sink, .metrics = metrics, .streams = config.streams, .postgres = config.postgres, .mailbox = mailbox},
      open.start.state ? open.start.state->jobs : history.jobs,
      {.format = open.start.format,
       .is_transactional = config.progress.is_transactional,
       .is_recorded = open.start.state.has_value(),
       .failed = history.failed_job,
       .endings = history.job_endings});
  Pipeline pipeline({.stream = *open.stream,
                     .sink = sink,
                     .monitor = &monitor,
                     .signals = signals,
                     .metrics = metrics,
                     .streams = config.streams,
                     .snapshot = snapshot ? &*snapshot : nullptr,
                     .incremental = open.start.ends_with_snapshot ? nullptr : &incremental},
                    config.pipeline, open.start, Clock::now());
  log::info("streaming", {{"slot", open.slot_name},
                          {"publication", config.postgres.publication_name},
                          {"confirmed_flush_lsn", open.start.confirmed_flush}});
  history.phase = Phase::kStreaming;
  history.has_streamed = true;
  history.session = open.session;
  // What the start needed and the clients of the last session left: free pages that add up.
  ::malloc_trim(0);
  const TimePoint began = Clock::now();
  // The loop's first turn may be a long wait.
  metrics.loop_progress_us.set(std::chrono::duration_cast<std::chrono::microseconds>(began.time_since_epoch()).count());
  metrics.streaming.set(1);
  Result<> ended = pipeline.run();
  if (!ended) {
    sink.abandon();  // before all else: its records come again, and none of them may land after a successor's
  }
  metrics.streaming.set(0);
  metrics.caught_up.set(0);
  const bool moved_forward = metrics.flushed_lsn.value() > static_cast<std::int64_t>(open.start.confirmed_flush.value);
  const bool has_read = snapshot && snapshot->revision() > 0;
  history.made_progress = moved_forward || has_read || Clock::now() - began >= kSessionSettled;
  if (snapshot && !open.start.state) {
    history.snapshot = snapshot->state();
  }
  history.jobs = incremental.jobs();
  history.failed_job = incremental.failed();
  history.job_endings = incremental.endings();
  history.split_commit = pipeline.split_commit() == Lsn{} ? history.split_commit : pipeline.split_commit();
  history.silence_limit = next_silence_limit(history.silence_limit, pipeline.peer_was_silent(), moved_forward);
  if (!ended && pipeline.stopping() && retry_after(ended.error(), history.phase, true)) {
    log::warn("the session ended during the stop; what was not confirmed will be sent again after the next start",
              {{"reason", ended.error().message}});
    return {};
  }
  return ended;
}

Result<> run_session(const Wiring& wiring, History& history) {
  const auto& [config, signals, metrics, mailbox] = wiring;
  const StopSignal stop = signals.stop();
  const bool is_first = history.phase == Phase::kFirstStart;
  history.phase = is_first ? Phase::kFirstStart : Phase::kConnecting;
  history.made_progress = false;
  // First: a wrong option needs no server to be seen.
  const std::unique_ptr<Sink> sink = TRY(make_sink(config, history.output, metrics));
  Connection sql = TRY(Connection::open(config.postgres, ConnectionMode::kSql, stop));
  TRY(require(check_postgres(sql, config.postgres, config.streams, stop), is_first ? log::Level::kWarn : log::Level::kDebug));
  // Here too, for no session may begin for long: that is when WAL piles up.
  if (const auto slot = TRY(read_slot(sql, config.postgres.slot_name, stop))) {
    publish_slot_metrics(*slot, metrics);
  }
  TRY(refuse_to_fence(wiring, sql, *sink, history));
  // The sink before the slot: a slot that nobody reads fills the primary's disk.
  TRY(sink->open(Clock::now() + kSinkOpenTimeout, stop));
  history.phase = Phase::kConnecting;
  TRY(ensure_publication(sql, config.postgres, config.streams, stop));
  // Before the slot, whose creation may take long.
  TableWatch tables;
  if (config.postgres.snapshot.mode != SnapshotMode::kOnly) {  // which waits for no change of theirs
    tables = TRY(TableWatch::begin(sql, config.postgres.publication_name, config.streams, stop));
  }
  Result<OpenStream> open = open_stream(config, sql, history, stop);
  if (!open && open.error().sqlstate == "55006") {  // object_in_use: the slot
    sink->abandon();                                // nobody would take its events, for days perhaps
    TRY(wait_for_slot(sql, config.postgres.slot_name, history, metrics, stop));
    history.made_progress = true;
  }
  OpenStream stream = TRY(std::move(open));
  stream.tables = std::move(tables);
  return stream_until_end(wiring, history, std::move(stream), std::move(sql), *sink);
}

// Says what failed and when the next attempt follows; what repeats only now and then.
class RetryReport {
 public:
  void write(const Error& error, const Retry& retry, milliseconds wait) {
    ++attempts_;
    const TimePoint now = Clock::now();
    const bool is_repeated = error.message == reason_ && now - warned_at_ < kRepeatedWarning;
    const bool is_known = retry.cause == ReconnectCause::kPostgresSlotInUse;  // the wait for it had lines of its own
    const std::string hint = error.hint.empty() ? "" : " (" + error.hint + ")";
    const ReconnectLabels labels = kReconnectLabels[std::to_underlying(retry.cause)];
    log::write(is_repeated || is_known ? log::Level::kDebug : log::Level::kWarn, "reconnecting: " + error.message + hint,
               {{"side", labels.side}, {"cause", labels.reason}, {"attempt", attempts_}, {"wait_ms", wait.count()}});
    if (!is_repeated) {
      reason_ = error.message;
      warned_at_ = now;
    }
  }
  void reset() { attempts_ = 0; }

 private:
  std::string reason_;
  TimePoint warned_at_;
  int attempts_ = 0;  // since the last session that made progress
};

}  // namespace

Result<> supervise(const Config& config, const SignalFd& signals, Metrics& metrics, SnapshotMailbox& mailbox,
                   UnreachableAtStart at_start) {
  Backoff backoff(kFirstRetryWait, kLongestRetryWait);
  RetryReport report;
  History history;
  while (true) {
    Result<> ended = run_session({.config = config, .signals = signals, .metrics = metrics, .mailbox = mailbox}, history);
    if (ended) {
      return ended;
    }
    const auto retry = retry_after(ended.error(), history.phase, at_start == UnreachableAtStart::kWait);
    if (!retry) {
      return ended;
    }
    if (history.made_progress) {
      backoff.reset();
      report.reset();
    }
    const milliseconds wait = backoff.next(retry->longest_wait);
    metrics.reconnects[std::to_underlying(retry->cause)].add();
    metrics.delivery_restarts.add(retry->cause == ReconnectCause::kKafkaDelivery ? 1 : 0);
    report.write(ended.error(), *retry, wait);
    TRY(wait_for(-1, 0, Clock::now() + wait, signals.stop()));
  }
}

}  // namespace outboxx
