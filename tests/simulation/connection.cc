#include "simulation/connection.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace outboxx::simulation {
namespace {

constexpr std::size_t kRaisedMarkMessages = 16;
constexpr std::chrono::milliseconds kLowWaterBound{2};
constexpr std::chrono::milliseconds kDeliveryBound{200};
constexpr Duration kDelayMin = std::chrono::microseconds(20);

}  // namespace

Connection::Connection(Walsender walsender, Checker& checker, CrashPoint& crash, const Options& options, Random& random,
                       TimePoint now)
    : walsender_(std::move(walsender)),
      checker_(checker),
      crash_(crash),
      options_(options),
      random_(random),
      now_(now),
      last_incoming_(now),
      last_outgoing_(now) {}

StreamWait Connection::prepare_wait(TimePoint now, bool reading) {
  now_ = now;
  mark_is_raised_ = reading && random_.percent(options_.low_water_percent);
  StreamWait wait{.fd = 0, .events = static_cast<short>(reading ? POLLIN : 0), .bound = {}, .delivery_bound = {}};
  if (mark_is_raised_) {
    wait.bound = kLowWaterBound;
    wait.delivery_bound = kDeliveryBound;
  }
  return wait;
}

Result<StreamMessage> Connection::receive() {
  crash_.pass();
  if (is_lost()) {
    return fail(ErrorCode::kPostgresUnreachable, "connection lost");
  }
  if (incoming_.empty() || incoming_.front().at > now_) {
    return NothingYet{};
  }
  ServerMessage message = std::move(incoming_.front().message);
  incoming_.pop_front();
  if (message.kind == ServerMessage::Kind::kShutdown) {
    return fail(ErrorCode::kPostgresUnreachable, "PostgreSQL ended the stream: the server is shutting down");
  }
  current_ = std::move(message.data);
  return deliver(message);
}

StreamMessage Connection::deliver(const ServerMessage& message) {
  switch (message.kind) {
    case ServerMessage::Kind::kBegin:
      checker_.received_begin(message.transaction->commit_lsn);
      break;
    case ServerMessage::Kind::kCommit:
      checker_.received_commit(*message.transaction, now_);
      break;
    case ServerMessage::Kind::kKeepalive:
      checker_.received_keepalive(message.lsn, message.reply_requested, now_);
      return Keepalive{.wal_end = message.lsn, .reply_requested = message.reply_requested};
    case ServerMessage::Kind::kStreamEnd:
      stream_end_received_ = true;
      return StreamEnded{};
    case ServerMessage::Kind::kOther:
    case ServerMessage::Kind::kShutdown:
      break;
  }
  return WalData{.start = message.lsn, .wal_end = message.lsn, .data = current_};
}

Result<> Connection::send_status(const StandbyStatus& status) {
  crash_.pass();
  checker_.sent_status(status, now_);
  send(status);
  crash_.pass();
  return {};
}

Result<> Connection::end() {
  crash_.pass();
  checker_.session_ends_copy();
  send(CopyDone{});
  crash_.pass();
  return {};
}

void Connection::send(std::variant<StandbyStatus, CopyDone> content) {
  last_outgoing_ = std::max(last_outgoing_, now_ + random_.time(kDelayMin, options_.delay_max));
  outgoing_.push_back({.at = last_outgoing_, .content = content});
}

TimePoint Connection::readable_at() const {
  if (server_is_gone_ && incoming_.empty()) {
    return lost_at_;
  }
  const std::size_t wanted = mark_is_raised_ ? std::min(kRaisedMarkMessages, incoming_.size()) : 1;
  if (incoming_.size() < wanted || incoming_.empty()) {
    return TimePoint::max();
  }
  const bool kept_back = mark_is_raised_ && incoming_.size() < kRaisedMarkMessages && !server_is_gone_;
  return kept_back ? TimePoint::max() : incoming_[wanted - 1].at;
}

void Connection::advance(TimePoint now) {
  now_ = now;
  while (!server_is_gone_ && !outgoing_.empty() && outgoing_.front().at <= now) {
    if (const auto* status = std::get_if<StandbyStatus>(&outgoing_.front().content)) {
      walsender_.take_status(*status, now);
    } else {
      walsender_.take_copy_done();
    }
    outgoing_.pop_front();
  }
  pull(now);
  if (now >= gone_at_ || walsender_.ended(now)) {
    server_goes(now);
  }
}

void Connection::pull(TimePoint now) {
  while (can_send()) {
    auto message = walsender_.next(now);
    if (!message) {
      return;
    }
    last_incoming_ = std::max(last_incoming_, now + random_.time(kDelayMin, options_.delay_max));
    incoming_.push_back({.at = last_incoming_, .message = *std::move(message)});
  }
}

void Connection::server_goes(TimePoint now) {
  if (!server_is_gone_) {
    server_is_gone_ = true;
    lost_at_ = std::max(last_incoming_, now);
  }
}

TimePoint Connection::next_event() const {
  if (server_is_gone_) {
    return TimePoint::max();
  }
  const TimePoint next = std::min(can_send() ? walsender_.next_deadline() : walsender_.timeout_at(), gone_at_);
  return outgoing_.empty() ? next : std::min(next, outgoing_.front().at);
}

void Connection::close_client(TimePoint now) {
  client_is_gone_ = true;
  incoming_.clear();
  while (!outgoing_.empty() && random_.percent(30)) {  // still in its send buffer
    outgoing_.pop_back();
  }
  gone_at_ = std::max(last_outgoing_, now) + random_.time(kDelayMin, options_.delay_max);
}

void Connection::cut(TimePoint now, bool reset) {
  now_ = now;
  server_goes(now);
  if (reset) {
    incoming_.clear();
    lost_at_ = now;
  }
}

void Connection::freeze(TimePoint until) {
  for (Incoming& message : incoming_) {
    message.at = std::max(message.at, until);
  }
  for (Outgoing& message : outgoing_) {
    message.at = std::max(message.at, until);
  }
  last_incoming_ = std::max(last_incoming_, until);
  last_outgoing_ = std::max(last_outgoing_, until);
}

}  // namespace outboxx::simulation
