// Session, what it does for snapshots: holds the stream where they were made, and has their rows handed over meanwhile.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "incremental.h"
#include "postgres/pgoutput.h"
#include "session.h"
#include "snapshot.h"

namespace outboxx {

Result<> Session::take_wal(const WalData& wal, TimePoint now) {
  if (hold_ == Hold::kNone) [[likely]] {
    TRY(dispatcher_.dispatch(wal, now));
    return {};
  }
  const auto final_lsn = tracker_.in_transaction() ? std::nullopt : pgoutput::final_lsn_of_begin(wal.data);
  if (final_lsn && *final_lsn >= hold_point_) {
    // Transactions come in the order of their commits, so all before the point have come.
    held_message_ = wal;
    tracker_.keepalive(hold_point_);
    check_hold();
    return {};
  }
  TRY(dispatcher_.dispatch(wal, now));
  check_hold();
  return {};
}

Result<> Session::hold_at(Lsn point) {
  CHECK(hold_ == Hold::kNone);
  const bool is_amid_a_newer = tracker_.in_transaction() && dispatcher_.open_commit() >= point;
  if (is_amid_a_newer || point < std::max(tracker_.data_received(), begun_at_)) {
    // Rows of this snapshot would follow newer changes. The stream's own server is never behind what it has sent.
    return fail(ErrorCode::kPostgresUnreachable,
                "the snapshot was made at " + to_string(point) +
                    ", and the stream has passed that: its connection reached another server, which lags behind",
                "Name one server in the connection string, or add target_session_attrs=read-write to it.");
  }
  hold_ = Hold::kWanted;
  hold_point_ = point;
  check_hold();
  return {};
}

void Session::check_hold() {
  if (hold_ == Hold::kWanted && !tracker_.in_transaction() && tracker_.received() >= hold_point_) {
    hold_ = Hold::kReached;
  }
}

Result<> Session::release(TimePoint now) {
  CHECK(held());
  hold_ = Hold::kNone;
  more_buffered_ = true;
  if (const auto message = std::exchange(held_message_, std::nullopt)) {
    TRY(dispatcher_.dispatch(*message, now));
  }
  return {};
}

// Rows are taken while the stream is held, and the sink has all of them before it takes anything else.
Result<> Session::serve_snapshot(TimePoint now) {
  if (!serves_snapshot()) {
    return {};
  }
  snapshot_->set_closing(stopping() || gate_.is_full(records(), bytes(), now));
  if (!is_ending()) {
    TRY(snapshot_->turn(now));
  }
  if (!snapshot_->all_read() || stopping()) {
    return {};
  }
  if (!ends_with_snapshot_) {
    holds_for_snapshot_ = false;
    return release(now);
  }
  // Not before all have arrived: a stop gives up what takes too long, and is a success.
  if (all_settled()) {
    stop(now);
  }
  return {};
}

Result<> Session::serve_incremental(TimePoint now) {
  if (incremental_ == nullptr || is_ending()) {
    return {};
  }
  const bool is_mine = !holds_for_snapshot_;
  TRY(incremental_->turn({.is_free = is_mine,
                          .is_caught_up = !more_buffered_ && reading(),
                          .is_held = is_mine && held(),
                          .is_closing = gate_.is_full(records(), bytes(), now),
                          .is_stopping = stopping()},
                         now));
  return is_mine ? follow_wish(now) : Result<>{};
}

// A stop leaves the stream where it is held: no transaction is to begin any more.
Result<> Session::follow_wish(TimePoint now) {
  const auto wish = incremental_->wish();
  if (std::exchange(is_paused_, wish == IncrementalSnapshot::Wish::kPause) && !is_paused_) {
    more_buffered_ = true;
  }
  if (wish == IncrementalSnapshot::Wish::kHold && hold_ == Hold::kNone) {
    TRY(hold_at(incremental_->point()));
  }
  if (wish == IncrementalSnapshot::Wish::kHold || (held() && stopping())) {
    return {};
  }
  if (held()) {
    return release(now);
  }
  hold_ = Hold::kNone;
  return {};
}

bool Session::has_snapshot_news() const {
  return (snapshot_ != nullptr && snapshot_->revision() != recorded_revision_) ||
         (incremental_ != nullptr && incremental_->jobs().revision != recorded_jobs_);
}

std::uint64_t Session::records() const {
  return dispatcher_.records() + (snapshot_ != nullptr ? snapshot_->records() : 0) +
         (incremental_ != nullptr ? incremental_->records() : 0);
}

std::uint64_t Session::bytes() const {
  return dispatcher_.bytes() + (snapshot_ != nullptr ? snapshot_->bytes() : 0) +
         (incremental_ != nullptr ? incremental_->bytes() : 0);
}

bool Session::has_commanded_jobs() const {
  return incremental_ != nullptr && recorded_jobs_ < incremental_->commanded_revision();
}

}  // namespace outboxx
