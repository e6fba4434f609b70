// IncrementalSnapshot: reads tables chunk by chunk while the stream goes on, as jobs that operators ask for or that the
// configuration does.
//
//   idle -> prepare -> [ stream is caught up ] -> open (stream paused) -> hold (stream goes to the point) -> rows -> arrive ->
//   idle
//
// Per chunk, the stream is paused while a snapshot is made, so that its point is not behind what was passed on, and is held
// there while the rows are handed over. So a chunk is exact as the initial snapshot is (snapshot.h), whatever the table's key.
// A pause is bounded; between two, the stream has at least as much time as the last one took.
//
// What waits for the server (connecting, making the snapshot) runs beside the loop; the loop never waits.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/background_task.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/time.h"
#include "format/format.h"
#include "model/snapshot_job.h"
#include "model/stream.h"
#include "model/unit_id.h"
#include "postgres/chunk_source.h"
#include "postgres/options.h"
#include "sink/sink.h"
#include "snapshot_mailbox.h"
#include "snapshot_rows.h"

namespace outboxx {

// The unit of chunk n is kIncrementalUnits + n: above those of transactions, and below kSnapshotUnits.
inline constexpr UnitId kIncrementalUnits = UnitId{1} << 61;

// One thread, never blocks. One per session.
class IncrementalSnapshot {
 public:
  // How long the stream may wait for a snapshot to be made: twice as long with each attempt that failed, up to 1.6 s. The
  // server may be far away, or its transactions be of a second.
  static constexpr std::chrono::milliseconds kPauseMax{200};
  static constexpr int kPauseDoublings = 3;
  static constexpr std::chrono::milliseconds kStandbyPauseMax{20'000};
  static constexpr std::size_t kJobsMax = 64;
  // Requests that count and are in no record yet: while Kafka takes none, no more are taken.
  static constexpr std::size_t kUnrecordedMax = 64;
  // Names and conditions of all jobs: they are in the state record, which has to fit into a message of 1 MB.
  static constexpr std::size_t kJobsBytesMax = std::size_t{128} * 1024;

  // Everything outlives it.
  struct Parts {
    Sink& sink;
    Metrics& metrics;
    std::span<const StreamConfig> streams;
    const PostgresOptions& postgres;
    SnapshotMailbox& mailbox;
  };
  // One that ended with its session: exactly once, what was sent of its chunk had to go.
  struct FailedJob {
    std::uint64_t job = 0;
    Error error;
  };

  // A job that is told to be over when a record of this revision has arrived: one that was canceled, and, exactly once, one
  // that is complete, for its last rows are there when its record is.
  struct Ending {
    std::uint64_t revision = 0;
    SnapshotJob job;
    bool is_complete = false;
  };

  struct Options {
    FormatOptions format;
    bool is_transactional = false;      // exactly once
    bool is_recorded = true;            // false: jobs end with the process
    std::optional<FailedJob> failed{};  // in the last session: it is taken out of the queue
    std::vector<Ending> endings{};      // of the last session: those that are in no queue any more are over
  };

  IncrementalSnapshot(const Parts& parts, SnapshotJobs jobs, const Options& options);
  ~IncrementalSnapshot();
  IncrementalSnapshot(const IncrementalSnapshot&) = delete;
  IncrementalSnapshot& operator=(const IncrementalSnapshot&) = delete;

  // What to poll(2) for. Valid until the next call.
  [[nodiscard]] std::span<const pollfd> prepare_wait();
  [[nodiscard]] bool has_more() const { return has_more_ && !rows_.is_blocked(); }
  // When turn() has something to do although nothing happened.
  [[nodiscard]] TimePoint next() const;

  // Where the stream stands.
  struct Stream {
    bool is_free = false;       // nothing else holds it or wants to
    bool is_caught_up = false;  // nothing that we know of is to be read
    bool is_held = false;       // at point()
    bool is_closing = false;    // no chunk is to be begun
    bool is_stopping = false;
  };
  // An error only if rows were handed over that can neither be completed nor be taken back.
  [[nodiscard]] Result<> turn(const Stream& stream, TimePoint now);
  void delivered(UnitId unit, std::uint64_t count);
  // A record of jobs() as they were then has arrived: a job that was accepted outlives us, and its operator gets his answer.
  void recorded(std::uint64_t revision);

  // What the stream is to do now.
  enum class Wish : std::uint8_t { kFlow, kPause, kHold };
  [[nodiscard]] Wish wish() const;
  [[nodiscard]] Lsn point() const { return chunk_.point; }  // for kHold

  // Rows of a chunk were accepted by the sink, and not all.
  [[nodiscard]] bool is_mid_chunk() const { return is_begun_; }
  [[nodiscard]] bool is_settled() const { return !is_begun_ && outstanding_ == 0; }

  // As they are to be recorded.
  [[nodiscard]] const SnapshotJobs& jobs() const { return jobs_; }
  [[nodiscard]] const std::optional<FailedJob>& failed() const { return failed_; }  // for the next session
  [[nodiscard]] const std::vector<Ending>& endings() const { return endings_; }
  // An operator waits for it to be recorded.
  [[nodiscard]] std::uint64_t commanded_revision() const { return commanded_revision_; }
  // Accepted by the sink so far.
  [[nodiscard]] std::uint64_t records() const { return rows_.records(); }
  [[nodiscard]] std::uint64_t bytes() const { return rows_.bytes(); }

 private:
  enum class State : std::uint8_t { kIdle, kPreparing, kPrepared, kOpening, kAbandoning, kHolding, kReading, kArriving };
  struct Unrecorded {
    SnapshotMailbox::Ticket ticket = 0;
    std::uint64_t revision = 0;
    SnapshotAnswer answer;
  };

  [[nodiscard]] TimePoint due_at() const;
  [[nodiscard]] std::chrono::milliseconds pause_max() const;
  void take_commands();
  void answer_unrecorded();
  [[nodiscard]] SnapshotAnswer obey(const SnapshotCommand& command);
  [[nodiscard]] SnapshotAnswer add_job(const SnapshotCommand& command);
  void end_task(TimePoint now);
  void start_preparing();
  void take_prepared(TimePoint now);
  void warn_of_pauses(const std::string& table);
  void start_opening(TimePoint now);
  void take_opened(TimePoint now);
  [[nodiscard]] Result<> advance(const Stream& stream, TimePoint now);
  [[nodiscard]] const StreamConfig* find_stream(const std::string& table) const;
  [[nodiscard]] bool is_wanted() const;
  [[nodiscard]] Result<> read(const Stream& stream, TimePoint now);
  [[nodiscard]] Result<> offer();
  void end_chunk(TimePoint now);
  void arrive();
  void end_job(Ending ending, bool waits_for_record);
  void tell(const Ending& ending);
  void end_pause(TimePoint now);
  [[nodiscard]] Result<> lose_chunk(Error error, TimePoint now);
  [[nodiscard]] bool may_give_up() const;
  void give_up_chunk(TimePoint now);
  void retry(const std::string& reason, TimePoint now);
  void wait_for_transactions(TimePoint now);
  void fail_job(const Error& error);
  void publish();

  std::span<const StreamConfig> streams_;
  SnapshotMailbox& mailbox_;
  bool is_transactional_;
  bool is_recorded_;
  SnapshotJobs jobs_;
  std::optional<FailedJob> failed_;
  std::uint64_t commanded_revision_ = 0;
  std::uint64_t recorded_revision_ = 0;
  std::vector<Unrecorded> unrecorded_;
  std::vector<Ending> endings_;
  std::uint64_t published_revision_ = 0;
  std::uint64_t published_job_ = 0;
  SnapshotRows rows_;

  State state_ = State::kIdle;
  std::uint64_t job_ = 0;  // at work
  TimePoint turned_at_;
  TimePoint retry_at_;
  int retries_ = 0;
  int slow_openings_ = 0;  // of the job, up to kPauseDoublings
  TimePoint reported_at_;  // that it is waiting
  TimePoint transactions_reported_at_;
  TimePoint paused_at_;
  TimePoint flow_until_;
  TimePoint held_at_;
  std::uint64_t chunk_rows_ = kFirstChunkRows;
  std::string warned_table_;      // has no key
  std::uint64_t warned_job_ = 0;  // of a standby

  // The chunk at work.
  Result<PreparedChunk> prepared_;
  Result<OpenChunk> opened_;
  OpenChunk chunk_;
  std::vector<std::size_t> chunk_streams_;
  UnitId unit_ = kIncrementalUnits;
  std::uint64_t chunk_outstanding_ = 0;
  std::uint64_t bytes_before_ = 0;
  std::uint64_t outstanding_ = 0;  // with those of chunks that were lost
  bool is_begun_ = false;
  bool has_more_ = false;
  std::vector<pollfd> fds_;
  ChunkSource source_;
  BackgroundTask task_{"snapshot"};  // last: it ends before what it uses
};

}  // namespace outboxx
