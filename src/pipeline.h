// Pipeline: one session of streaming, from START_REPLICATION to its end. One thread, one poll(2).
//
//   wait -> deliveries of the sink -> drain what PostgreSQL sent -> flush the sink -> status update if due -> wait
//
// Never sleeps and never waits for the sink: back-pressure stops the reading and nothing else, so that PostgreSQL is answered
// whatever the sink does. It ends in one of three ways: the operator stops it (run() returns a value), PostgreSQL goes away,
// or a record cannot be delivered (run() returns the error; what was not confirmed comes again in the next session).
#pragma once

#include <chrono>
#include <cstdint>
#include <span>

#include "ack_tracker.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/signal_fd.h"
#include "base/time.h"
#include "dispatcher.h"
#include "format/format.h"
#include "model/stream.h"
#include "pipeline_options.h"
#include "postgres/replication_stream.h"
#include "postgres/slot_monitor.h"
#include "shutdown_watch.h"
#include "sink/sink.h"
#include "status_timer.h"

namespace outboxx {

// What the session found out about the server before the stream began.
struct SessionStart {
  Lsn confirmed_flush;                           // of the slot
  std::chrono::milliseconds wal_sender_timeout;  // 0: none
  FormatOptions format;
};

class Pipeline {
 public:
  // Everything outlives the pipeline; monitor may be null.
  struct Parts {
    ReplicationStream& stream;
    Sink& sink;
    SlotMonitor* monitor;
    const SignalFd& signals;
    Metrics& metrics;
    std::span<const StreamConfig> streams;
  };

  Pipeline(const Parts& parts, const PipelineOptions& options, const SessionStart& start, TimePoint now);

  // Until the operator stops it (a value) or something fails. A second signal ends the process at once.
  [[nodiscard]] Result<> run();

 private:
  // kStreaming: the normal state. The others are steps of a stop: read on to the end of the transaction at hand, so that none
  // is delivered in part; wait for deliveries; wait for the server's answer to CopyDone.
  enum class State : std::uint8_t { kStreaming, kFinishingTransaction, kDraining, kEndingCopy, kEnded };

  struct Ready {
    bool postgres = false;
    bool sink = false;
    bool signal = false;
    bool monitor = false;
  };

  [[nodiscard]] Result<Ready> wait(TimePoint now);
  [[nodiscard]] TimePoint next_deadline(TimePoint now) const;
  [[nodiscard]] bool reading() const;
  void serve_monitor(bool ready, TimePoint now);
  void take_signal(TimePoint now);
  [[nodiscard]] Result<> take_deliveries(TimePoint now);
  void take_completed_units(TimePoint now);
  [[nodiscard]] Result<> drain(TimePoint now);
  [[nodiscard]] Result<> take(const StreamMessage& message, TimePoint now);
  [[nodiscard]] Result<> continue_stop(TimePoint now);
  [[nodiscard]] Result<> send_status_if_due(TimePoint now);
  [[nodiscard]] Result<> send_status(TimePoint now);
  [[nodiscard]] Result<> check_peer(TimePoint now) const;
  void publish_metrics(TimePoint now);

  ReplicationStream& stream_;
  Sink& sink_;
  SlotMonitor* monitor_;
  const SignalFd& signals_;
  Metrics& metrics_;
  PipelineOptions options_;

  AckTracker tracker_;
  StatusTimer status_timer_;
  ShutdownWatch shutdown_watch_;
  Dispatcher dispatcher_;
  State state_ = State::kStreaming;
  TimePoint stop_deadline_;
  bool more_buffered_ = true;      // drain() left messages behind: do not wait before the next turn
  bool postgres_hung_up_ = false;  // seen while not reading: poll(2) would report it again at once
  TimePoint last_received_;
  TimePoint read_at_latest_;  // bytes may be there that poll(2) does not announce
  bool heard_since_status_ = false;
};

}  // namespace outboxx
