#include "incremental.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/time.h"
#include "base/wait.h"
#include "model/change.h"
#include "model/snapshot_job.h"
#include "model/stream.h"
#include "model/unit_id.h"
#include "postgres/chunk_source.h"
#include "postgres/snapshot_reader.h"
#include "router.h"
#include "snapshot_mailbox.h"

namespace outboxx {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Before the rest of the loop has its turn.
constexpr int kRowsPerTurn = 512;
constexpr seconds kFirstRetry{1};
constexpr seconds kLongestRetry{10};
constexpr seconds kReportInterval{10};
constexpr int kStandbyPatience = 20;  // a chunk may take so many times longer to read where each waits for seconds

bool passes(const Error& error) {
  return error.code == ErrorCode::kPostgresUnreachable || error.code == ErrorCode::kInterrupted;
}

std::string told(const Error& error) {
  return error.hint.empty() ? error.message : error.message + " (" + error.hint + ")";
}

}  // namespace

IncrementalSnapshot::IncrementalSnapshot(const Parts& parts, SnapshotJobs jobs, const Options& options)
    : streams_(parts.streams),
      mailbox_(parts.mailbox),
      is_transactional_(options.is_transactional),
      is_recorded_(options.is_recorded),
      jobs_(std::move(jobs)),
      failed_(options.failed),
      rows_(parts.sink, parts.metrics, parts.streams, options.format),
      source_(parts.postgres) {
  for (const SnapshotJob& job : jobs_.queue) {
    log::info("going on with a snapshot job", {{"job", job.id}, {"table", job.table()}, {"rows", job.rows}});
  }
  recorded_revision_ = jobs_.revision;
  published_revision_ = jobs_.revision + 1;  // none yet
  for (const Ending& ending : options.endings) {
    if (jobs_.find(ending.job.id) == nullptr) {
      tell(ending);
    }
  }
  if (failed_) {
    job_ = failed_->job;
    fail_job(failed_->error);
  }
  publish();
}

IncrementalSnapshot::~IncrementalSnapshot() {
  answer_unrecorded();
}

milliseconds IncrementalSnapshot::pause_max() const {
  return prepared_->is_standby ? kStandbyPauseMax : kPauseMax * (1 << slow_openings_);
}

std::span<const pollfd> IncrementalSnapshot::prepare_wait() {
  fds_ = {{mailbox_.letters_fd(), POLLIN, 0}, {task_.is_running() ? task_.fd() : -1, POLLIN, 0}};
  if (state_ == State::kReading && !rows_.is_blocked()) {
    fds_.push_back(source_.reader().poll_fd());
  }
  return fds_;
}

// What was due at the last turn waits for something else.
TimePoint IncrementalSnapshot::next() const {
  const TimePoint due = due_at();
  return due > turned_at_ ? due : TimePoint::max();
}

TimePoint IncrementalSnapshot::due_at() const {
  switch (state_) {
    case State::kIdle:
      return retry_at_;
    case State::kPrepared:
      return flow_until_;
    case State::kOpening:
      return paused_at_ + pause_max();
    case State::kPreparing:
    case State::kAbandoning:
    case State::kHolding:
    case State::kReading:
    case State::kArriving:
      return TimePoint::max();
  }
  return TimePoint::max();
}

IncrementalSnapshot::Wish IncrementalSnapshot::wish() const {
  if (state_ == State::kOpening) {
    return Wish::kPause;
  }
  return state_ == State::kHolding || state_ == State::kReading ? Wish::kHold : Wish::kFlow;
}

Result<> IncrementalSnapshot::turn(const Stream& stream, TimePoint now) {
  turned_at_ = now;
  take_commands();
  if (task_.take_end()) {
    end_task(now);
  }
  TRY(advance(stream, now));
  if (state_ == State::kIdle) {  // a chunk has ended: the next one
    TRY(advance(stream, now));
  }
  publish();
  return {};
}

// One that lists "read" for the table.
const StreamConfig* IncrementalSnapshot::find_stream(const std::string& table) const {
  const auto found = std::ranges::find_if(streams_, [&table](const StreamConfig& stream) {
    return stream.operations.read && stream.schema + "." + stream.table == table;
  });
  return found == streams_.end() ? nullptr : &*found;
}

bool IncrementalSnapshot::is_wanted() const {
  const auto found = std::ranges::find(jobs_.queue, job_, &SnapshotJob::id);
  return found != jobs_.queue.end() && !found->is_paused;
}

Result<> IncrementalSnapshot::advance(const Stream& stream, TimePoint now) {
  const bool goes_on = is_wanted() && !stream.is_stopping;
  switch (state_) {
    case State::kIdle:
      if (jobs_.next() == nullptr) {
        source_.close();
      } else if (stream.is_free && !stream.is_stopping && now >= retry_at_) {
        start_preparing();
      }
      break;
    case State::kPrepared:
      if (!goes_on) {
        state_ = State::kIdle;  // nothing was opened, and nobody waits
      } else if (stream.is_free && stream.is_caught_up && !stream.is_closing && outstanding_ == 0 && now >= flow_until_) {
        start_opening(now);
      }
      break;
    case State::kOpening:
      if (!goes_on || now >= paused_at_ + pause_max()) {
        task_.stop();
        state_ = State::kAbandoning;
        end_pause(now);
      }
      break;
    case State::kHolding:
      if (!goes_on) {
        give_up_chunk(now);
      } else if (stream.is_held) {
        state_ = State::kReading;
        held_at_ = now;
        return read(stream, now);
      }
      break;
    case State::kReading:
      if (!goes_on && may_give_up()) {
        give_up_chunk(now);
        break;
      }
      return read(stream, now);
    case State::kPreparing:
    case State::kAbandoning:
    case State::kArriving:
      break;
  }
  return {};
}

void IncrementalSnapshot::end_task(TimePoint now) {
  switch (state_) {
    case State::kPreparing:
      return take_prepared(now);
    case State::kOpening:
      return take_opened(now);
    case State::kAbandoning:
      source_.close();
      state_ = State::kIdle;
      if (is_wanted()) {
        const milliseconds waited = pause_max();
        slow_openings_ = std::min(slow_openings_ + 1, kPauseDoublings);
        retry("no snapshot could be made in " + std::to_string(waited.count()) + " ms: " +
                  (prepared_->is_standby ? "the primary logged no running transactions, or its transactions did not end"
                                         : "transactions of others that change rows did not end, or the server is slow"),
              now);
      }
      return;
    case State::kIdle:
    case State::kPrepared:
    case State::kHolding:
    case State::kReading:
    case State::kArriving:
      CHECK(false);
  }
}

void IncrementalSnapshot::start_preparing() {
  const SnapshotJob& job = *jobs_.next();
  if (std::exchange(job_, job.id) != job.id) {
    slow_openings_ = 0;
  }
  const StreamConfig* const stream = find_stream(job.table());
  if (stream == nullptr) {
    fail_job({.code = ErrorCode::kConfig, .message = "no stream lists \"read\" for table \"" + job.table() + "\" any more"});
    return;
  }
  state_ = State::kPreparing;
  task_.start([this, request = ChunkRequest{.stream = *stream,
                                            .where = job.where,
                                            .place = job.place,
                                            .rows = chunk_rows_,
                                            .needs_key = is_transactional_}](StopSignal stop) {
    prepared_ = source_.prepare(request, stop);
  });
}

void IncrementalSnapshot::take_prepared(TimePoint now) {
  state_ = State::kIdle;
  if (!is_wanted()) {
    source_.close();
    return;
  }
  if (!prepared_) {
    return passes(prepared_.error()) ? retry(told(prepared_.error()), now) : fail_job(prepared_.error());
  }
  if (!prepared_->waits_for.empty()) {
    return wait_for_transactions(now);
  }
  state_ = State::kPrepared;
  if (prepared_->leaf == 0) {
    return arrive();
  }
  log::debug("chunk planned", {{"job", job_}});
  warn_of_pauses(jobs_.find(job_)->table());
}

void IncrementalSnapshot::warn_of_pauses(const std::string& table) {
  if (prepared_->key.empty() && std::exchange(warned_table_, table) != table) {
    log::warn("the table has no key that can serve: the stream stands still while it is read as a whole", {{"table", table}});
  }
  if (prepared_->is_standby && std::exchange(warned_job_, job_) != job_) {
    log::warn("the server is a standby: the stream stands still for up to 15 s before each chunk",
              {{"job", job_}, {"hint", "SELECT pg_log_standby_snapshot() on the primary ends such a wait."}});
  }
}

void IncrementalSnapshot::start_opening(TimePoint now) {
  state_ = State::kOpening;
  paused_at_ = now;
  task_.start([this](StopSignal stop) { opened_ = source_.open(*prepared_, stop); });
}

void IncrementalSnapshot::take_opened(TimePoint now) {
  if (!opened_) {
    end_pause(now);
    state_ = State::kIdle;
    return passes(opened_.error()) ? retry(told(opened_.error()), now) : fail_job(opened_.error());
  }
  chunk_ = *std::move(opened_);
  if (const auto started = source_.reader().start(chunk_.table, chunk_.copy); !started) {
    give_up_chunk(now);
    return retry(told(started.error()), now);
  }
  Router router(streams_);
  const auto wanting = router.route(chunk_.table.relation, Operation::kRead);
  chunk_streams_.assign(wanting.begin(), wanting.end());
  rows_.set_point(chunk_.point, wall_now());
  ++unit_;
  chunk_outstanding_ = 0;
  bytes_before_ = rows_.bytes();
  state_ = State::kHolding;
}

Result<> IncrementalSnapshot::read(const Stream& stream, TimePoint now) {
  has_more_ = false;
  if (rows_.is_blocked()) {
    TRY(offer());
  }
  for (int rows = 0; rows < kRowsPerTurn; ++rows) {
    if (rows_.is_blocked() || (stream.is_closing && !is_begun_)) {
      return {};
    }
    auto step = source_.reader().next();
    if (!step) {
      return lose_chunk(std::move(step).error(), now);
    }
    switch (*step) {
      case SnapshotReader::Step::kNothingYet:
        return {};
      case SnapshotReader::Step::kEnded:
        end_chunk(now);
        return {};
      case SnapshotReader::Step::kRow:
        rows_.take(source_.reader().row(), chunk_.table.relation, chunk_streams_);
        TRY(offer());
        break;
    }
  }
  has_more_ = true;
  return {};
}

Result<> IncrementalSnapshot::offer() {
  auto accepted = rows_.offer(unit_);
  if (!accepted) {
    return fail_with_context("could not send a row of table " + chunk_.table.quoted_name, std::move(accepted).error());
  }
  is_begun_ = is_begun_ || accepted->records > 0;
  chunk_outstanding_ += accepted->records;
  outstanding_ += accepted->records;
  return {};
}

void IncrementalSnapshot::end_chunk(TimePoint now) {
  const auto taken = duration_cast<microseconds>(now - held_at_).count() / (prepared_->is_standby ? kStandbyPatience : 1);
  const std::uint64_t bytes_per_row = (rows_.bytes() - bytes_before_) / std::max<std::uint64_t>(rows_.rows(), 1);
  chunk_rows_ = next_chunk_rows(prepared_->rows, static_cast<std::uint64_t>(taken), bytes_per_row);
  log::debug("chunk read", {{"job", job_},
                            {"point", chunk_.point},
                            {"rows", rows_.rows()},
                            {"pause_ms", duration_cast<milliseconds>(now - paused_at_).count()},
                            {"read_ms", taken / 1000}});
  end_pause(now);
  is_begun_ = false;
  retries_ = 0;
  state_ = State::kArriving;
  if (is_transactional_ || chunk_outstanding_ == 0) {
    arrive();
  }
}

void IncrementalSnapshot::delivered(UnitId unit, std::uint64_t count) {
  CHECK(outstanding_ >= count);
  outstanding_ -= count;
  if (unit != unit_) {
    return;  // of a chunk that was lost
  }
  chunk_outstanding_ -= count;
  if (state_ == State::kArriving && chunk_outstanding_ == 0) {
    arrive();
  }
}

void IncrementalSnapshot::arrive() {
  const bool ends_table = prepared_->leaf == 0;
  const std::uint64_t rows = ends_table ? 0 : rows_.rows();
  state_ = State::kIdle;
  const SnapshotJob* const found = jobs_.find(job_);
  if (found == nullptr) {
    return;
  }
  SnapshotJob job = *found;
  if (jobs_.arrive(job_, prepared_->next, rows, ends_table)) {
    job.tables_done = job.tables.size();
    source_.close();
    end_job({.revision = jobs_.revision, .job = std::move(job), .is_complete = true}, is_transactional_ && is_recorded_);
  }
}

void IncrementalSnapshot::end_job(Ending ending, bool waits_for_record) {
  if (waits_for_record) {
    endings_.push_back(std::move(ending));
  } else {
    tell(ending);
  }
}

void IncrementalSnapshot::tell(const Ending& ending) {
  if (ending.is_complete) {
    log::info("snapshot job complete", {{"job", ending.job.id}, {"rows", ending.job.rows}});
  }
  mailbox_.add_ended({.job = ending.job, .state = ending.is_complete ? "complete" : "canceled"});
}

void IncrementalSnapshot::end_pause(TimePoint now) {
  flow_until_ = now + (now - paused_at_);
}

// Rows that were handed over are right, and come again. In a Kafka transaction they must not come twice.
Result<> IncrementalSnapshot::lose_chunk(Error error, TimePoint now) {
  if (is_begun_ && is_transactional_) {
    if (!passes(error)) {
      failed_ = {.job = job_, .error = error};
    }
    error.code = ErrorCode::kPostgresUnreachable;
    return fail_with_context("lost a chunk of snapshot job " + std::to_string(job_), std::move(error));
  }
  give_up_chunk(now);
  if (passes(error)) {
    retry(told(error), now);
  } else {
    fail_job(error);
  }
  return {};
}

// At least once, rows that were handed over may come again: a job that nobody wants any more holds the stream no longer, and a
// stop does not wait for a whole table. A chunk by key is short, so that a stop reads it to its end and repeats nothing.
bool IncrementalSnapshot::may_give_up() const {
  return !is_begun_ || (!is_transactional_ && (!is_wanted() || prepared_->key.empty()));
}

void IncrementalSnapshot::give_up_chunk(TimePoint now) {
  rows_.drop();
  source_.close();
  end_pause(now);
  is_begun_ = false;
  state_ = State::kIdle;
}

void IncrementalSnapshot::retry(const std::string& reason, TimePoint now) {
  retry_at_ = now + std::min<seconds>(kFirstRetry * (1 << std::min(retries_, 4)), kLongestRetry);
  if (retries_++ == 0 || now >= reported_at_ + kReportInterval) {
    log::warn("a snapshot job waits", {{"job", job_}, {"reason", reason}});
    reported_at_ = now;
  }
}

// That costs the stream nothing, so it is looked at again soon.
void IncrementalSnapshot::wait_for_transactions(TimePoint now) {
  retry_at_ = now + kFirstRetry;
  if (now >= transactions_reported_at_ + kReportInterval) {
    log::warn("a snapshot job waits", {{"job", job_}, {"reason", "long transactions are open: " + prepared_->waits_for}});
    transactions_reported_at_ = now;
  }
}

void IncrementalSnapshot::fail_job(const Error& error) {
  source_.close();
  const SnapshotJob* const found = jobs_.find(job_);
  if (found == nullptr) {
    return;  // canceled meanwhile
  }
  const SnapshotJob job = *found;
  log::warn("snapshot job failed: " + error.message, {{"job", job.id}, {"table", job.table()}, {"hint", error.hint}});
  mailbox_.add_ended({.job = job, .state = "failed", .reason = told(error)});
  CHECK(jobs_.remove(job.id));
}

void IncrementalSnapshot::publish() {
  if (published_revision_ == jobs_.revision && published_job_ == job_) {
    return;
  }
  published_revision_ = jobs_.revision;
  published_job_ = job_;
  std::vector<JobView> queue;
  queue.reserve(jobs_.queue.size());
  for (const SnapshotJob& job : jobs_.queue) {
    const bool is_unrecorded = is_recorded_ && job.id > recorded_revision_;
    queue.push_back({.job = job,
                     .state = is_unrecorded    ? "unrecorded"
                              : job.is_paused  ? "paused"
                              : job.id == job_ ? "running"
                                               : "waiting"});
  }
  for (const Ending& ending : endings_) {
    queue.push_back({.job = ending.job, .state = ending.is_complete ? "completing" : "canceling"});
  }
  mailbox_.set_queue(std::move(queue));
}

}  // namespace outboxx
