#include "simulation/walsender.h"

#include <algorithm>
#include <utility>

namespace outboxx::simulation {

Walsender::Walsender(const Database& database, Slot& slot, const Options& options, Random& random, TimePoint now)
    : database_(database),
      slot_(slot),
      options_(options),
      random_(random),
      start_(slot.confirmed_flush),
      sent_(slot.confirmed_flush),
      last_reply_(now) {
  const auto& committed = database.committed();
  const auto first = std::ranges::lower_bound(committed, start_, {}, &CommittedTransaction::commit_lsn);
  next_transaction_ = static_cast<std::size_t>(first - committed.begin());
  early_keepalives_ = options.noise_percent > 0 ? static_cast<int>(random.below(3)) : 0;
}

TimePoint Walsender::timeout_at() const {
  return options_.timeout.count() == 0 ? TimePoint::max() : last_reply_ + options_.timeout;
}

TimePoint Walsender::ping_at() const {
  return options_.timeout.count() == 0 || waiting_for_reply_ ? TimePoint::max() : last_reply_ + options_.timeout / 2;
}

TimePoint Walsender::next_deadline() const {
  return ended_ ? TimePoint::max() : std::min(timeout_at(), ping_at());
}

ServerMessage Walsender::keepalive(Lsn position, bool reply_requested) {
  waiting_for_reply_ = waiting_for_reply_ || reply_requested;
  return {.kind = ServerMessage::Kind::kKeepalive, .lsn = position, .reply_requested = reply_requested};
}

std::optional<ServerMessage> Walsender::next(TimePoint now) {
  if (ended(now)) {
    return std::nullopt;
  }
  if (early_keepalives_ > 0) {
    --early_keepalives_;
    return keepalive(Lsn{random_.between(slot_.restart_lsn.value, start_.value)}, random_.percent(20));
  }
  if (std::exchange(reply_wanted_, false)) {
    return keepalive(sent_, false);
  }
  if (now >= ping_at()) {
    return keepalive(sent_, true);
  }
  if (!queued_.empty()) {
    return next_of_transaction();
  }
  if (copy_done_) {
    ended_ = true;
    return ServerMessage{.kind = ServerMessage::Kind::kStreamEnd};
  }
  return decode_next_transaction() ? next_of_transaction() : caught_up();
}

void Walsender::take_status(const StandbyStatus& status, TimePoint now) {
  last_reply_ = now;
  waiting_for_reply_ = false;
  may_offer_keepalive_ = true;
  reply_wanted_ = reply_wanted_ || status.request_reply;
  write_ = status.write;
  flush_ = status.flush;
  if (status.flush > Lsn{}) {
    slot_.confirm(status.flush);
  }
}

std::optional<ServerMessage> Walsender::next_of_transaction() {
  ServerMessage message = std::move(queued_.front());
  queued_.pop_front();
  if (message.kind == ServerMessage::Kind::kKeepalive) {
    sent_ = std::max(sent_, message.lsn);
  } else if (message.kind == ServerMessage::Kind::kCommit) {
    sent_ = message.transaction->end_lsn;
  }
  return message;
}

// True if a transaction was queued. Those without a change for us pass in silence.
bool Walsender::decode_next_transaction() {
  const auto& committed = database_.committed();
  while (next_transaction_ < committed.size()) {
    const CommittedTransaction& transaction = committed[next_transaction_];
    ++next_transaction_;
    if (!transaction.changes.empty() || options_.sends_empty) {
      queue(transaction);
      return true;
    }
    sent_ = transaction.end_lsn;
    may_offer_keepalive_ = true;
    if (random_.percent(options_.noise_percent)) {
      queued_.push_back(keepalive(sent_, false));
      return true;
    }
  }
  return false;
}

void Walsender::queue(const CommittedTransaction& transaction) {
  const std::int64_t time = to_postgres_time(transaction.commit_time);
  const auto noise = [&] {  // decoded is all before the commit record
    if (random_.percent(options_.noise_percent)) {
      queued_.push_back(keepalive(random_.percent(50) ? transaction.commit_lsn : sent_, random_.percent(10)));
    }
  };
  if (random_.percent(options_.noise_percent)) {  // it decodes all of the transaction before it sends the first of it
    queued_.push_back(keepalive(Lsn{random_.between(sent_.value, transaction.commit_lsn.value)}, random_.percent(10)));
  }
  const Lsn first_lsn = transaction.changes.empty() ? transaction.commit_lsn : transaction.changes.front().lsn;
  queued_.push_back({.kind = ServerMessage::Kind::kBegin,
                     .lsn = first_lsn,
                     .data = encode_begin(transaction.commit_lsn.value, time, transaction.xid),
                     .transaction = &transaction});
  for (const RowChange& change : transaction.changes) {
    noise();
    queue_change(change);
  }
  noise();
  queued_.push_back({.kind = ServerMessage::Kind::kCommit,
                     .lsn = transaction.end_lsn,
                     .data = encode_commit(transaction.commit_lsn.value, transaction.end_lsn.value, time),
                     .transaction = &transaction});
}

void Walsender::queue_change(const RowChange& change) {
  const TableVersion& table = *change.table;
  const auto described = std::ranges::find(described_, table.oid, [](const TableVersion* known) { return known->oid; });
  if (described == described_.end() || *described != &table || random_.percent(options_.noise_percent)) {
    queued_.push_back({.lsn = Lsn{}, .data = encode_relation(table)});
    if (described == described_.end()) {
      described_.push_back(&table);
    } else {
      *described = &table;
    }
  }
  std::string data;
  switch (change.kind) {
    case 'I':
      data = encode_insert(table.oid, change.new_row);
      break;
    case 'U':
      data = encode_update(table.oid, change.old_kind, change.old_row, change.new_row);
      break;
    case 'D':
      data = encode_delete(table.oid, change.old_kind, change.old_row);
      break;
    default:
      data = encode_truncate({table.oid}, 0);
  }
  queued_.push_back({.lsn = change.lsn, .data = std::move(data)});
}

// Everything is sent. A client that is behind is told so, once after each thing that happened.
std::optional<ServerMessage> Walsender::caught_up() {
  may_offer_keepalive_ = may_offer_keepalive_ || sent_ != database_.wal_end();
  sent_ = std::max(sent_, database_.wal_end());
  if (shutting_down_) {
    if (flush_ == sent_) {
      ended_ = true;
      return ServerMessage{.kind = ServerMessage::Kind::kShutdown};
    }
    return waiting_for_reply_ ? std::nullopt : std::optional(keepalive(sent_, true));
  }
  if (may_offer_keepalive_ && !waiting_for_reply_ && write_ < sent_ && flush_ < sent_) {
    may_offer_keepalive_ = false;
    return keepalive(sent_, false);
  }
  return std::nullopt;
}

}  // namespace outboxx::simulation
