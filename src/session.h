// Session: one session of streaming as a state machine, from its first status update to its end. One turn:
//
//   deliveries of the sink -> drain what PostgreSQL sent -> rows of a snapshot -> record the position if due -> flush the sink
//   -> next step of a stop -> status update if due
//
// Deterministic: it neither waits nor looks at a clock, but for one latency metric. Stream, sink and time are arguments, so
// that Pipeline can run it with poll(2), and a test with a virtual clock and simulated servers.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ack_tracker.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/time.h"
#include "dispatcher.h"
#include "format/format.h"
#include "incremental.h"
#include "model/record.h"
#include "model/state_record.h"
#include "model/stream.h"
#include "pipeline_options.h"
#include "postgres/replication_stream.h"
#include "progress_gate.h"
#include "shutdown_watch.h"
#include "sink/sink.h"
#include "snapshot.h"
#include "status_timer.h"

namespace outboxx {

// What was found out about the server before the stream began.
struct SessionStart {
  Lsn confirmed_flush;                           // of the slot
  std::chrono::milliseconds wal_sender_timeout;  // 0: none
  FormatOptions format;
  // A peer that says nothing for so long, while we read and ask, is gone.
  std::chrono::milliseconds silence_limit{20'000};
  // How far the pipeline has come, as the next record will say it; nothing: no state is kept.
  std::optional<StateRecord> state{};
  std::string state_key{};
  ProgressOptions progress{};
  // The transaction that an earlier session found to be too large for one Kafka transaction: its start of the commit record.
  Lsn split_commit{};
  // The session is there for its snapshot alone: it stops by itself when that is complete.
  bool ends_with_snapshot = false;
};

// One thread. After an error it is of no more use: what was not confirmed comes again in the next session.
class Session {
 public:
  // Everything outlives the session.
  struct Parts {
    ReplicationStream& stream;
    Sink& sink;
    Metrics& metrics;
    std::span<const StreamConfig> streams;
    Snapshot* snapshot = nullptr;  // is read while the stream is held at its point
    IncrementalSnapshot* incremental = nullptr;
  };

  // What to wait for before the next turn.
  struct Wait {
    StreamWait postgres;
    bool reading = false;              // false: back-pressure, PostgreSQL's data is not wanted
    std::span<const pollfd> snapshot;  // the snapshot's connections
    TimePoint until;                   // take the next turn then at the latest; may have passed
  };

  // What the wait brought.
  struct Ready {
    bool postgres = false;
    bool heard = false;  // PostgreSQL has sent something, if only a part of a message
    bool sink = false;
  };

  Session(const Parts& parts, const PipelineOptions& options, const SessionStart& start, TimePoint now);

  // Once, before the first wait.
  [[nodiscard]] Result<> begin(TimePoint now);
  [[nodiscard]] Wait prepare_wait(TimePoint now);
  [[nodiscard]] Result<> turn(Ready ready, TimePoint now);

  // Takes all transactions whose commit record starts before point and then no message until release(): as with a full sink,
  // PostgreSQL is answered and not read. kPostgresUnreachable: a transaction that commits at or after point was taken, so the
  // point is another server's, one that lags behind.
  [[nodiscard]] Result<> hold_at(Lsn point);
  // All before the point were taken.
  [[nodiscard]] bool held() const { return hold_ == Hold::kReached; }
  [[nodiscard]] Result<> release(TimePoint now);

  // The operator's stop, once: reads on to the end of the transaction at hand and waits for its deliveries, within a bound.
  void stop(TimePoint now);
  // The server ended another session of ours by administrator command, and takes no new one.
  void server_is_stopping(TimePoint now) { shutdown_watch_.session_ended(now); }
  void server_takes_sessions() { shutdown_watch_.session_is_back(); }

  [[nodiscard]] bool stopping() const { return state_ != State::kStreaming; }
  // A stop is complete.
  [[nodiscard]] bool ended() const { return state_ == State::kEnded; }
  // After an error: it was that nothing came for silence_limit.
  [[nodiscard]] bool peer_was_silent() const { return peer_was_silent_; }
  // After an error: it was that this transaction has to be split, and its first records do not say so. 0/0: it was not.
  [[nodiscard]] Lsn split_commit() const { return split_commit_; }

 private:
  // kStreaming: the normal state. The others are steps of a stop: read on to the end of the transaction at hand, so that none
  // is delivered in part; wait for deliveries; wait for the server's answer to CopyDone.
  enum class State : std::uint8_t { kStreaming, kFinishingTransaction, kDraining, kEndingCopy, kEnded };

  enum class Hold : std::uint8_t { kNone, kWanted, kReached };

  [[nodiscard]] TimePoint next_deadline() const;
  [[nodiscard]] TimePoint read_at_latest() const;
  [[nodiscard]] bool waits_for_batch(TimePoint then) const;
  [[nodiscard]] bool reading() const;
  [[nodiscard]] Result<> take_deliveries(TimePoint now);
  void take_completed_units(TimePoint now);
  [[nodiscard]] Result<> drain(TimePoint now);
  [[nodiscard]] Result<> take(const StreamMessage& message, TimePoint now);
  [[nodiscard]] Result<> take_wal(const WalData& wal, TimePoint now);
  void check_hold();
  [[nodiscard]] bool is_ending() const { return state_ == State::kEndingCopy || state_ == State::kEnded; }
  [[nodiscard]] Result<> serve_snapshot(TimePoint now);
  [[nodiscard]] Result<> serve_incremental(TimePoint now);
  [[nodiscard]] Result<> follow_wish(TimePoint now);
  [[nodiscard]] bool serves_snapshot() const { return snapshot_ != nullptr && holds_for_snapshot_ && held(); }
  [[nodiscard]] bool has_snapshot_news() const;
  [[nodiscard]] bool has_commanded_jobs() const;  // that are not recorded
  // Accepted by the sink so far.
  [[nodiscard]] std::uint64_t records() const;
  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] bool ends_batch(TimePoint now) const;
  [[nodiscard]] ProgressFacts progress_facts() const;
  [[nodiscard]] Result<> record_progress(TimePoint now);
  [[nodiscard]] Result<> check_marked(const Progress& progress);
  // What may be confirmed: F, as far as it is recorded.
  [[nodiscard]] Lsn confirmable() const { return gate_.confirmable(tracker_.flushed()); }
  [[nodiscard]] bool all_settled() const;
  void begin_draining(TimePoint now);
  [[nodiscard]] Result<> continue_stop(TimePoint now);
  [[nodiscard]] Result<> check_recorded(Lsn confirmed) const;
  [[nodiscard]] Result<> send_status_if_due(TimePoint now);
  [[nodiscard]] Result<> send_status(TimePoint now);
  [[nodiscard]] TimePoint next_probe() const;
  [[nodiscard]] Result<> check_freeze(TimePoint now) const;
  [[nodiscard]] Result<> check_peer(TimePoint now);
  void publish_metrics(TimePoint now);

  ReplicationStream& stream_;
  Sink& sink_;
  Metrics& metrics_;
  PipelineOptions options_;

  AckTracker tracker_;
  ProgressGate gate_;
  StatusTimer status_timer_;
  ShutdownWatch shutdown_watch_;
  Dispatcher dispatcher_;
  Snapshot* snapshot_;
  bool holds_for_snapshot_;
  IncrementalSnapshot* incremental_;
  std::uint64_t recorded_jobs_ = 0;  // their revision, as the last record says it
  bool is_paused_ = false;           // while the incremental snapshot makes a point
  bool ends_with_snapshot_;
  std::vector<pollfd> snapshot_fds_;
  Hold hold_ = Hold::kNone;
  Lsn hold_point_;
  Lsn begun_at_;                         // what had been confirmed or, exactly once, delivered before
  std::optional<WalData> held_message_;  // the Begin at which it is held; valid until the stream's next receive()
  std::uint64_t recorded_revision_ = 0;  // of the snapshot, as the last record says it
  State state_ = State::kStreaming;
  TimePoint stop_deadline_;
  bool more_buffered_ = true;  // drain() left messages behind: do not wait before the next turn
  std::chrono::milliseconds wal_sender_timeout_;
  std::chrono::milliseconds silence_limit_;
  TimePoint turned_at_;
  TimePoint last_heard_;
  TimePoint drained_at_;
  StreamWait stream_wait_;  // the last one
  bool heard_since_status_ = false;
  bool peer_was_silent_ = false;
  Lsn split_commit_;
  Lsn awaited_;  // the newest position for which the server wanted a reply
  std::optional<StateRecord> recorded_;
  Record progress_record_;
};

}  // namespace outboxx
