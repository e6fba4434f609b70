#include "session.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/log.h"
#include "postgres/pgoutput.h"

namespace outboxx {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// Between two looks at the sink, the clock and the signals. Enough to make those free, few enough to keep them prompt.
constexpr int kMessagesPerTurn = 1024;
// After the stop's deadline: how long the server may take to answer CopyDone.
constexpr milliseconds kCopyDoneTimeout{1000};
// A peer that says nothing is asked for a reply this often.
constexpr milliseconds kProbeInterval{5'000};

std::optional<Progress> progress_of(const std::optional<StateRecord>& state) {
  return state ? std::optional(state->progress) : std::nullopt;
}

// A record is written at most once a second, and what it says is confirmed at once.
milliseconds status_delay(const SessionStart& start) {
  return start.state && !start.progress.is_transactional ? milliseconds{0} : StatusTimer::kAfterMove;
}

}  // namespace

Session::Session(const Parts& parts, const PipelineOptions& options, const SessionStart& start, TimePoint now)
    : stream_(parts.stream),
      sink_(parts.sink),
      metrics_(parts.metrics),
      options_(options),
      tracker_(start.confirmed_flush),
      gate_(start.progress, progress_of(start.state), now),
      status_timer_(options.status_interval, start.wal_sender_timeout, start.confirmed_flush, now, status_delay(start)),
      shutdown_watch_(options.shutdown_grace),
      dispatcher_(parts.streams, start.format, parts.sink, tracker_, parts.metrics),
      snapshot_(parts.snapshot),
      holds_for_snapshot_(parts.snapshot != nullptr),
      incremental_(parts.incremental),
      ends_with_snapshot_(start.ends_with_snapshot),
      begun_at_(std::max(start.confirmed_flush, progress_of(start.state).value_or(Progress{}).position)),
      wal_sender_timeout_(start.wal_sender_timeout),
      silence_limit_(start.silence_limit),
      turned_at_(now),
      last_heard_(now),
      drained_at_(now),
      recorded_(start.state) {
  progress_record_.stream = kProgressStream;
  progress_record_.key = start.state_key;
  if (start.state && start.progress.is_transactional) {
    dispatcher_.resume_at(start.state->progress);
    dispatcher_.mark_split(start.split_commit);
  }
  recorded_jobs_ = start.state ? start.state->jobs.revision : 0;
}

Result<> Session::begin(TimePoint now) {
  if (snapshot_ != nullptr) {
    TRY(hold_at(snapshot_->point()));
  }
  TRY(check_recorded(tracker_.flushed()));
  return send_status(now);  // asks for a reply: proves the line in both directions
}

Session::Wait Session::prepare_wait(TimePoint now) {
  const bool reading_now = reading();
  stream_wait_ = stream_.prepare_wait(now, reading_now);
  snapshot_fds_.clear();
  const bool with_snapshot = serves_snapshot() && !is_ending();
  const bool with_incremental = incremental_ != nullptr && !is_ending();
  if (with_snapshot) {
    const auto fds = snapshot_->prepare_wait();
    snapshot_fds_.assign(fds.begin(), fds.end());
  }
  if (with_incremental) {
    const auto fds = incremental_->prepare_wait();
    snapshot_fds_.insert(snapshot_fds_.end(), fds.begin(), fds.end());
  }
  Wait wait{.postgres = stream_wait_,
            .reading = reading_now,
            .snapshot = snapshot_fds_,
            .until = reading_now ? std::min(next_deadline(), read_at_latest()) : next_deadline()};
  if ((reading_now && more_buffered_) || (with_snapshot && snapshot_->has_more()) ||
      (with_incremental && incremental_->has_more())) {
    wait.until = now;
  } else if (with_snapshot) {
    wait.until = std::min(wait.until, snapshot_->next_report());
  }
  return wait;
}

Result<> Session::turn(Ready ready, TimePoint now) {
  TRY(check_freeze(now));
  turned_at_ = now;
  if (!reading() || ready.heard) {
    last_heard_ = now;  // a reader that does not listen cannot say that the peer is silent
  }
  if (ready.sink) {
    TRY(take_deliveries(now));
  }
  begin_draining(now);  // before more is read: a stop between two transactions begins no other
  if (reading() && (ready.postgres || more_buffered_ || now >= read_at_latest())) {
    TRY(drain(now));
  }
  TRY(serve_snapshot(now));
  TRY(serve_incremental(now));
  begin_draining(now);  // before it is looked at what is to be recorded: a stop does not wait for the time of the next record
  TRY(record_progress(now));
  TRY(sink_.flush());
  TRY(continue_stop(now));
  TRY(send_status_if_due(now));
  TRY(check_peer(now));
  publish_metrics(now);
  return {};
}

void Session::stop(TimePoint now) {
  CHECK(state_ == State::kStreaming);
  stop_deadline_ = now + options_.drain_timeout;
  state_ = State::kFinishingTransaction;
}

// From the last read on: a delivery's wake-up in between must not put it off.
TimePoint Session::read_at_latest() const {
  if (stream_wait_.bound.count() == 0) {
    return TimePoint::max();
  }
  const TimePoint next = drained_at_ + stream_wait_.bound;
  return waits_for_batch(next) ? drained_at_ + stream_wait_.delivery_bound : next;
}

// Whether a batch is out then that is worth waiting for. While a request of a partition is out, librdkafka sends no other, and
// spins as soon as a record has waited for linger.ms. Not amid a transaction, whose rest comes without a pause; not if somebody
// waits for what is there; and not for a batch that is out for longer than that: other partitions must not wait for it.
bool Session::waits_for_batch(TimePoint then) const {
  const auto oldest = tracker_.oldest_since();
  if (state_ != State::kStreaming || hold_ != Hold::kNone || tracker_.in_transaction() || tracker_.all_delivered() || !oldest) {
    return false;
  }
  const auto age = then - *oldest;
  return age >= sink_.linger() && age < stream_wait_.delivery_bound;
}

// Whether PostgreSQL's messages are wanted now. While records wait for the sink they are not: that is the back-pressure.
bool Session::reading() const {
  switch (state_) {
    case State::kStreaming:
    case State::kFinishingTransaction:
      return !dispatcher_.blocked() && !tracker_.full() && !held() && !is_paused_;
    case State::kEndingCopy:
      return true;
    case State::kDraining:
    case State::kEnded:
      return false;
  }
  return false;
}

TimePoint Session::next_deadline() const {
  TimePoint deadline = TimePoint::max();
  if (state_ != State::kEndingCopy) {
    deadline = std::min({status_timer_.next(), next_probe(), gate_.next()});
  }
  if (reading()) {
    deadline = std::min(deadline, last_heard_ + silence_limit_);
  }
  if (incremental_ != nullptr && state_ == State::kStreaming) {
    deadline = std::min(deadline, incremental_->next());
  }
  if (shutdown_watch_.next() > turned_at_) {  // else it is over, and everything was delivered
    deadline = std::min(deadline, shutdown_watch_.next());
  }
  if (state_ != State::kStreaming) {
    deadline = std::min(deadline, stop_deadline_);
  }
  return deadline;
}

Result<> Session::take_deliveries(TimePoint now) {
  for (const Delivery& delivery : TRY(sink_.poll())) {
    if (delivery.unit == kProgressUnit) {
      gate_.acknowledged();
      metrics_.progress_records.add();
      if (incremental_ != nullptr) {
        incremental_->recorded(recorded_jobs_);
      }
      continue;
    }
    if (is_snapshot_unit(delivery.unit)) {
      snapshot_->delivered(delivery.unit, delivery.count);
    } else if (delivery.unit >= kIncrementalUnits) {
      incremental_->delivered(delivery.unit, delivery.count);
    } else {
      tracker_.delivered(delivery.unit, delivery.count);
    }
    shutdown_watch_.delivered(now);
  }
  take_completed_units(now);
  if (dispatcher_.blocked() && !is_ending()) {  // at the end, what the stream still brings takes the place of its message
    if (TRY(dispatcher_.resume()) == Admission::kAccepted) {
      more_buffered_ = true;
    }
  }
  return {};
}

// After deliveries, and after commits too: all records of a transaction may have been delivered before its commit came.
void Session::take_completed_units(TimePoint now) {
  const WallTime wall = wall_now();
  while (const auto unit = tracker_.next_completed()) {
    // The server's clock may be ahead of ours.
    metrics_.commit_to_ack.observe(std::max<std::int64_t>(0, (wall - unit->commit_time).count()));
  }
  status_timer_.flushed(confirmable(), now);
}

// Takes everything that is buffered, here, in libpq and in the kernel, before the next wait.
Result<> Session::drain(TimePoint now) {
  more_buffered_ = false;
  drained_at_ = now;
  int messages = 0;
  for (; reading(); ++messages) {
    if (messages == kMessagesPerTurn) {
      more_buffered_ = true;
      break;
    }
    const StreamMessage message = TRY(stream_.receive());
    if (std::holds_alternative<NothingYet>(message)) {
      break;
    }
    metrics_.messages_received.add();
    last_heard_ = now;
    heard_since_status_ = true;
    TRY(take(message, now));
    if (ends_batch(now)) {
      more_buffered_ = true;
      break;
    }
  }
  metrics_.wake_ups.add(messages > 0 ? 1 : 0);
  take_completed_units(now);
  return {};
}

// What was read is to be recorded, or ended with, before more is. A transaction that is split has a batch of its own: if the
// next one turns out to be too large as well, it is not lost again with the Kafka transaction that is given up then.
bool Session::ends_batch(TimePoint now) const {
  const bool is_split = dispatcher_.is_marked() && gate_.is_gathering(records());
  if (tracker_.in_transaction()) {
    return is_split && dispatcher_.ordinal() == 0;
  }
  return is_split || state_ == State::kFinishingTransaction || gate_.is_full(records(), bytes(), now);
}

Result<> Session::take(const StreamMessage& message, TimePoint now) {
  if (std::holds_alternative<StreamEnded>(message)) {
    state_ = State::kEnded;
    return {};
  }
  if (state_ == State::kEndingCopy) {
    return {};  // sent before the server saw our CopyDone: unconfirmed, it comes again
  }
  if (const auto* keepalive = std::get_if<Keepalive>(&message)) {
    tracker_.keepalive(keepalive->wal_end);
    check_hold();
    if (keepalive->reply_requested) {
      awaited_ = std::max(awaited_, keepalive->wal_end);
      status_timer_.flushed(confirmable(), now);
      status_timer_.reply_requested(keepalive->wal_end);
      shutdown_watch_.reply_requested(now);
    }
    return {};
  }
  if (const auto* wal = std::get_if<WalData>(&message)) {
    metrics_.bytes_received.add(wal->data.size());
    return take_wal(*wal, now);
  }
  return {};
}

bool Session::all_settled() const {
  const bool stream_is = tracker_.all_delivered() && confirmable() == tracker_.flushed();
  const bool is_recorded = !recorded_ || (!has_snapshot_news() && !gate_.is_under_way());
  const bool rows_are =
      (snapshot_ == nullptr || snapshot_->is_settled()) && (incremental_ == nullptr || incremental_->is_settled());
  const bool has_rows = snapshot_ != nullptr || incremental_ != nullptr;
  return stream_is && (!has_rows || (rows_are && is_recorded));
}

ProgressFacts Session::progress_facts() const {
  const bool is_wanted = awaited_ > confirmable() && tracker_.units() == 0;
  return {.flushed = tracker_.flushed(),
          .received = tracker_.received(),
          .data_received = tracker_.data_received(),
          .open_commit = tracker_.in_transaction() ? std::optional(dispatcher_.open_commit()) : std::nullopt,
          .ordinal = dispatcher_.ordinal(),
          .open_bytes = dispatcher_.open_bytes(),
          .is_alone = dispatcher_.is_marked(),
          .between_changes = !dispatcher_.blocked(),
          .records = records(),
          .bytes = bytes(),
          .is_urgent = is_wanted || state_ == State::kDraining || has_commanded_jobs(),
          .has_snapshot_news = has_snapshot_news(),
          .is_mid_chunk =
              (snapshot_ != nullptr && snapshot_->is_mid_chunk()) || (incremental_ != nullptr && incremental_->is_mid_chunk())};
}

Result<> Session::record_progress(TimePoint now) {
  if (!recorded_) {
    return {};
  }
  const ProgressFacts facts = progress_facts();
  const auto progress = TRY(gate_.due(facts, now));
  if (!progress) {
    return {};
  }
  TRY(check_marked(*progress));
  recorded_->progress = *progress;
  if (snapshot_ != nullptr) {
    recorded_->snapshot = snapshot_->state();
  }
  if (incremental_ != nullptr) {
    recorded_->jobs = incremental_->jobs();
  }
  progress_record_.value = encode(*recorded_);
  // kFull: deliveries bring the next turn.
  if (TRY(sink_.produce(progress_record_, kProgressUnit)) == Admission::kAccepted) {
    gate_.written(*progress, facts, now);
    recorded_revision_ = snapshot_ != nullptr ? snapshot_->revision() : 0;
    recorded_jobs_ = recorded_->jobs.revision;
  }
  return {};
}

// Each event of a split transaction says so. That one is too large, or too slow, shows when its first records are written, but
// not yet visible: they are given up with their Kafka transaction, and come again, marked, in the next session.
Result<> Session::check_marked(const Progress& progress) {
  const bool was_split = progress.open_commit == recorded_->progress.open_commit;  // and is resumed: its Begin is yet to come
  if (progress.ordinal == 0 || was_split || dispatcher_.is_marked()) {
    return {};
  }
  split_commit_ = progress.open_commit;
  return fail(ErrorCode::kKafkaUnreachable, "the transaction that commits at " + to_string(progress.open_commit) +
                                                " does not fit into one Kafka transaction: it is read again, and split");
}

void Session::begin_draining(TimePoint now) {
  if (state_ == State::kFinishingTransaction && (now >= stop_deadline_ || !tracker_.in_transaction())) {
    state_ = State::kDraining;
  }
}

// The steps of a stop that do not depend on one event.
Result<> Session::continue_stop(TimePoint now) {
  if (state_ == State::kStreaming || state_ == State::kEnded) {
    return {};
  }
  const bool too_late = now >= stop_deadline_;
  if (state_ == State::kEndingCopy) {
    if (too_late) {
      log::warn("PostgreSQL did not end the stream in time, closing the connection");
      state_ = State::kEnded;
    }
    return {};
  }
  if (state_ == State::kDraining && (too_late || all_settled())) {
    if (!all_settled()) {
      log::warn("not everything was delivered in time; it will be sent again after the next start",
                {{"records", metrics_.in_flight_records.value()}, {"timeout_ms", options_.drain_timeout.count()}});
    }
    TRY(send_status(now));
    TRY(stream_.end());
    state_ = State::kEndingCopy;
    stop_deadline_ = std::max(stop_deadline_, now + kCopyDoneTimeout);
  }
  return {};
}

// c <= P, always: else a slot that lost changes could not be told from one that we moved. confirmable() sees to it, and this is
// the invariant spelled out, where a mistake would do its harm.
Result<> Session::check_recorded(Lsn confirmed) const {
  const auto recorded = gate_.recorded();
  if (!recorded || confirmed <= *recorded) {
    return {};
  }
  return fail(ErrorCode::kInternal,
              "would have PostgreSQL confirm " + to_string(confirmed) + ", but only " + to_string(*recorded) + " is recorded",
              "Nothing was confirmed. This is a mistake in Outboxx; please report it.");
}

Result<> Session::send_status_if_due(TimePoint now) {
  const bool sending = state_ != State::kEndingCopy && state_ != State::kEnded;  // no status may follow CopyDone
  return sending && (status_timer_.due(now) || now >= next_probe()) ? send_status(now) : Result<>{};
}

// Write, flush and apply are all the same: the server's keepalives then tell how far behind F it is (docs/delivery.md).
Result<> Session::send_status(TimePoint now) {
  const Lsn flushed = confirmable();
  TRY(check_recorded(flushed));
  status_timer_.flushed(flushed, now);
  const StandbyStatus status{.write = flushed,
                             .flush = flushed,
                             .apply = flushed,
                             .request_reply = !heard_since_status_ || now >= last_heard_ + kProbeInterval};
  TRY(stream_.send_status(status));
  status_timer_.sent(now);
  heard_since_status_ = false;
  return {};
}

TimePoint Session::next_probe() const {
  // While reading is paused nothing can be heard, but a status update to a closed socket brings the reset that tells so: the
  // end of the stream itself may wait behind what was not read.
  return std::max(reading() ? last_heard_ : TimePoint(), status_timer_.last_sent()) + kProbeInterval;
}

// Stopped by a signal or with its whole machine for so long, the process has lost its session whatever the socket says: the
// server counts from our last status update, and another instance may stream by now.
Result<> Session::check_freeze(TimePoint now) const {
  if (wal_sender_timeout_.count() == 0 || now - turned_at_ <= wal_sender_timeout_) {
    return {};
  }
  return fail(ErrorCode::kPostgresUnreachable, "the process did not run for " +
                                                   std::to_string(duration_cast<milliseconds>(now - turned_at_).count()) +
                                                   " ms, longer than wal_sender_timeout");
}

Result<> Session::check_peer(TimePoint now) {
  if (shutdown_watch_.expired(now) && !all_settled()) {
    return fail(ErrorCode::kPostgresUnreachable,
                "PostgreSQL is shutting down and waits for changes that could not be delivered in " +
                    std::to_string(options_.shutdown_grace.count()) + " ms",
                "The connection was closed so that the server can stop. Nothing is lost: what was not delivered comes again "
                "when it is back.");
  }
  if (reading() && now - last_heard_ >= silence_limit_) {
    peer_was_silent_ = true;
    return fail(
        ErrorCode::kPostgresUnreachable,
        "PostgreSQL has not answered for " + std::to_string(duration_cast<milliseconds>(now - last_heard_).count()) + " ms",
        "The server or the network between is frozen.");
  }
  return {};
}

void Session::publish_metrics(TimePoint now) {
  metrics_.loop_progress_us.set(duration_cast<microseconds>(now.time_since_epoch()).count());
  metrics_.received_lsn.set(static_cast<std::int64_t>(tracker_.received().value));
  metrics_.flushed_lsn.set(static_cast<std::int64_t>(tracker_.flushed().value));
  metrics_.progress_lsn.set(static_cast<std::int64_t>(confirmable().value));
  metrics_.units_pending.set(static_cast<std::int64_t>(tracker_.units()));
  const auto oldest = tracker_.oldest_since();
  metrics_.oldest_unit_age_us.set(oldest ? duration_cast<microseconds>(now - *oldest).count() : 0);
  metrics_.reading_paused.set(reading() ? 0 : 1);
  metrics_.caught_up.set(!more_buffered_ && hold_ == Hold::kNone && tracker_.units() == 0 ? 1 : 0);
}

}  // namespace outboxx
