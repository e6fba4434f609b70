// Pipeline: runs one session of streaming, from START_REPLICATION to its end. One thread, one poll(2).
//
//   wait -> deliveries of the sink -> drain what PostgreSQL sent -> flush the sink -> status update if due -> wait
//
// What a turn does is Session's; here are the wait and the signals. Never sleeps and never waits for the sink: back-pressure
// stops the reading and nothing else, so that PostgreSQL is answered whatever the sink does. It ends in one of three ways: the
// operator stops it (run() returns a value), PostgreSQL goes away, or a record cannot be delivered (run() returns the error;
// what was not confirmed comes again in the next session).
#pragma once

#include <poll.h>

#include <span>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/signal_fd.h"
#include "base/time.h"
#include "model/stream.h"
#include "pipeline_options.h"
#include "postgres/replication_stream.h"
#include "postgres/slot_monitor.h"
#include "session.h"
#include "sink/sink.h"
#include "snapshot.h"

namespace outboxx {

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
    Snapshot* snapshot = nullptr;
    IncrementalSnapshot* incremental = nullptr;
  };

  Pipeline(const Parts& parts, const PipelineOptions& options, const SessionStart& start, TimePoint now);

  // Until the operator stops it (a value) or something fails. A second signal ends the process at once. kInterrupted: stopped
  // before the end of a snapshot that is read alone.
  [[nodiscard]] Result<> run();

  // After run(): the operator had asked for the stop before it ended, whatever it ended with.
  [[nodiscard]] bool stopping() const { return session_.stopping(); }
  [[nodiscard]] bool peer_was_silent() const { return session_.peer_was_silent(); }
  [[nodiscard]] Lsn split_commit() const { return session_.split_commit(); }

 private:
  struct Ready {
    Session::Ready session;
    bool signal = false;
    bool monitor = false;
  };

  [[nodiscard]] Result<Ready> wait(TimePoint now);
  [[nodiscard]] Result<> serve_monitor(bool ready, TimePoint now);
  [[nodiscard]] Result<> follow_signal(TimePoint now);

  Session session_;
  Sink& sink_;
  SlotMonitor* monitor_;
  const SignalFd& signals_;
  PipelineOptions options_;
  bool ends_with_snapshot_;
  bool was_signaled_ = false;
  std::vector<pollfd> fds_;  // of the last wait
};

}  // namespace outboxx
