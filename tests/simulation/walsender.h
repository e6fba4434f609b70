// Walsender: the sending half of the simulated PostgreSQL, and the replication slot it serves.
//
// The rules are those of the real one (PostgreSQL: replication/walsender.c, logical/logical.c, logical/snapbuild.c):
// - From a start position F it sends the transactions with C(T) >= F, whole, in the order of their commit records.
// - A keepalive's position is what it has decoded: the end of the newest record, so all with C(T) < K were sent before. Its
//   first ones may lie below confirmed_flush, for it reads from restart_lsn on.
// - Only the flush field of a status update moves the slot, and never back. A crash brings back what was saved.
// - It asks for a reply after half of wal_sender_timeout of silence, and ends after all of it.
// - At a shutdown it ends only when the client has confirmed all that was sent, and asks for it until then.
// recorded_session_test.cc replays sessions of real servers against it.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>

#include "base/lsn.h"
#include "base/time.h"
#include "postgres/replication_stream.h"
#include "simulation/database.h"
#include "simulation/random.h"

namespace outboxx::simulation {

struct Slot {
  Lsn confirmed_flush;
  Lsn restart_lsn;
  Lsn saved;  // confirmed_flush as it is on disk
  bool exists = true;

  void confirm(Lsn flush) { confirmed_flush = std::max(confirmed_flush, flush); }
  void save() { saved = confirmed_flush; }
  void crash() { confirmed_flush = saved; }
};

struct ServerMessage {
  enum class Kind : std::uint8_t { kBegin, kCommit, kOther, kKeepalive, kStreamEnd, kShutdown };
  Kind kind = Kind::kOther;
  Lsn lsn{};
  std::string data{};
  bool reply_requested = false;
  const CommittedTransaction* transaction = nullptr;  // of Begin and Commit
};

class Walsender {
 public:
  struct Options {
    Duration timeout{};               // wal_sender_timeout; zero: none
    bool sends_empty = false;         // transactions without a change: until PostgreSQL 14
    std::uint64_t noise_percent = 0;  // keepalives and relation descriptions that nothing asked for
  };

  // All references outlive it. Starts at the slot's confirmed_flush.
  Walsender(const Database& database, Slot& slot, const Options& options, Random& random, TimePoint now);

  // The next message if there is one to send now. Call again: it moves what it has decoded even where it sends nothing.
  [[nodiscard]] std::optional<ServerMessage> next(TimePoint now);
  void take_status(const StandbyStatus& status, TimePoint now);
  void take_copy_done() { copy_done_ = true; }
  void begin_shutdown() { shutting_down_ = true; }

  // The client was silent for wal_sender_timeout, or everything else came to its end.
  [[nodiscard]] bool ended(TimePoint now) const { return ended_ || now >= timeout_at(); }
  [[nodiscard]] TimePoint timeout_at() const;
  // When next() or ended() may say something new without an event.
  [[nodiscard]] TimePoint next_deadline() const;

 private:
  [[nodiscard]] TimePoint ping_at() const;
  [[nodiscard]] ServerMessage keepalive(Lsn position, bool reply_requested);
  [[nodiscard]] std::optional<ServerMessage> next_of_transaction();
  [[nodiscard]] bool decode_next_transaction();
  void queue(const CommittedTransaction& transaction);
  void queue_change(const RowChange& change);
  [[nodiscard]] std::optional<ServerMessage> caught_up();

  const Database& database_;
  Slot& slot_;
  Options options_;
  Random& random_;
  Lsn start_;
  Lsn sent_;  // sentPtr
  std::size_t next_transaction_ = 0;
  std::deque<ServerMessage> queued_;  // of the transaction at hand
  std::deque<const TableVersion*> described_;
  Lsn write_;
  Lsn flush_;
  TimePoint last_reply_;
  int early_keepalives_ = 0;
  bool waiting_for_reply_ = false;
  bool reply_wanted_ = false;  // by the client
  bool may_offer_keepalive_ = true;
  bool copy_done_ = false;
  bool shutting_down_ = false;
  bool ended_ = false;
};

}  // namespace outboxx::simulation
