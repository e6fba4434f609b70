// Checker: what must hold in every run. It knows what was committed, sees what the broker stored, what the session was told
// and what it confirmed, and shares no code with the program. A violation is an exception: the run ends with it.
//
//   no loss      at the end every expected record is stored; a confirmed position never passes one that is not
//   no phantom   every stored record is an expected one, with exactly its key and value
//   order        per partition, a writer stores the expected records one after the other; only a new one may step back
//   duplicates   only of what was never confirmed; a stop in time leaves nothing stored and unconfirmed
//   safety       flush never goes back and never passes the longest delivered prefix, nor what was received
//   start        a session begins where nothing before is missing
//   record       flush never passes what the state topic says (c <= P)
//   exactly once nothing is visible twice, and a transaction becomes visible whole, or each of its events says that it does not
//   cadence      flush follows that prefix within a second; a status at least every interval; an answer to each request
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/lsn.h"
#include "base/time.h"
#include "model/event_id.h"
#include "postgres/replication_stream.h"
#include "simulation/database.h"
#include "simulation/trace.h"

namespace outboxx::simulation {

// The streams of the configuration: orders, items, and a second one of items without updates.
inline constexpr std::size_t kStreams = 3;

class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[nodiscard]] std::size_t partition_of(const std::string& key, std::size_t partitions);

enum class Mode : std::uint8_t { kNoState, kAtLeastOnce, kExactlyOnce };

class Checker {
 public:
  Checker(std::size_t partitions, Mode mode, Trace& trace)
      : partitions_(partitions), mode_(mode), trace_(trace), logs_(kStreams * partitions) {}

  // The truth.
  void committed(const CommittedTransaction& transaction);

  // The broker has stored a record; exactly once: it is visible, and so is all up to transaction_committed().
  void stored(std::size_t stream, const std::string& key, const std::string& value, const EventId& id, bool is_split);
  void transaction_committed();
  // The state topic says so now.
  void recorded(Lsn position);
  // The stream begins there, because it is new or an operator accepted a gap: nothing that commits before need come any more.
  void begins_at(Lsn position);

  // A session, from its start to its end, with a producer of its own.
  void session_began(Lsn start, Duration status_interval, TimePoint now);
  void received_begin(Lsn commit_lsn);
  void received_commit(const CommittedTransaction& transaction, TimePoint now);
  void received_keepalive(Lsn wal_end, bool reply_requested, TimePoint now);
  void delivered(Lsn commit_lsn, TimePoint now);
  void progress_delivered(TimePoint now);
  void sent_status(const StandbyStatus& status, TimePoint now);
  // CopyDone was sent: no status can follow.
  void session_ends_copy() { watching_ = false; }
  // stopped_in_time: by a stop within its bound, and the server has processed the last status.
  void session_ended(bool stopped_in_time);
  // The process did not run: time that it can not be blamed for.
  void was_frozen(TimePoint until);

  // Is a status overdue?
  void check_cadence(TimePoint now) const;
  [[nodiscard]] bool everything_stored() const { return first_incomplete_ == transactions_.size(); }
  void check_everything_stored() const;

  [[nodiscard]] std::uint64_t records_stored() const { return records_stored_; }
  [[nodiscard]] std::uint64_t repeats() const { return repeats_; }

 private:
  struct Expected {
    EventId id;
    std::string key;
    std::string value;
    std::size_t transaction;
    bool is_stored = false;
  };
  // Of one partition of one topic.
  struct Log {
    std::deque<Expected> expected;
    std::size_t next = 0;  // what its writer must store next
    bool has_new_writer = true;
  };
  struct TransactionState {
    Lsn commit_lsn;
    std::uint64_t not_stored = 0;
    std::uint64_t records = 0;
    std::uint64_t commits = 0;  // Kafka transactions that made a part of it visible
    bool has_unmarked = false;
  };
  // Of the session: a transaction (commit_lsn) or a keepalive.
  struct Unit {
    Lsn position;
    Lsn commit_lsn;
    bool is_closed = false;
  };

  void expect(std::size_t stream, const CommittedTransaction& transaction, const RowChange& change, std::uint64_t ordinal,
              std::uint32_t part);
  [[nodiscard]] bool is_complete(const Unit& unit) const;
  void advance_prefix(TimePoint now);
  void owe(TimePoint now);

  std::size_t partitions_;
  Mode mode_;
  Trace& trace_;
  std::vector<Log> logs_;
  std::vector<TransactionState> transactions_;
  std::size_t first_incomplete_ = 0;
  std::set<std::size_t> touched_;  // transactions, by the Kafka transaction that becomes visible
  Lsn recorded_;
  std::uint64_t records_stored_ = 0;
  std::uint64_t repeats_ = 0;

  // Of the session.
  bool watching_ = false;
  Lsn start_;
  Duration interval_{};
  std::deque<Unit> units_;
  std::unordered_map<std::uint64_t, std::uint64_t> undelivered_;  // by commit LSN
  Lsn received_;
  Lsn prefix_;  // what may be confirmed
  Lsn flush_;   // what was
  Lsn told_;    // the recorded position that the session knows of
  struct Owed {
    Lsn position;
    TimePoint since;
  };
  std::deque<Owed> owed_;  // positions that may be confirmed and are not
  TimePoint last_status_;
  TimePoint last_move_;
  std::uint64_t unmoved_statuses_ = 0;  // since last_move_
  std::optional<TimePoint> asked_at_;
  std::optional<Lsn> last_stored_;  // highest commit LSN
};

}  // namespace outboxx::simulation
