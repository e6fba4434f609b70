// Database: the writing half of the simulated PostgreSQL. Clients with open transactions that interleave, and the WAL that
// comes of it: where each row, commit record and gap lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "base/lsn.h"
#include "base/time.h"
#include "simulation/pgoutput_encoder.h"
#include "simulation/random.h"

namespace outboxx::simulation {

struct RowChange {
  char kind = 'I';  // I, U, D, T as pgoutput has them
  const TableVersion* table = nullptr;
  Lsn lsn;
  char old_kind = 0;
  Row old_row;
  Row new_row;
};

// A committed one. changes: those that the publication sends; none: the transaction is empty to us.
struct CommittedTransaction {
  Lsn commit_lsn;  // C(T)
  Lsn end_lsn;     // E(T)
  std::uint32_t xid = 0;
  WallTime commit_time;
  std::vector<RowChange> changes;
};

class Database {
 public:
  static constexpr std::size_t kClients = 4;
  // orders and items are wanted by streams, other is published and wanted by none, hidden is not published.
  static constexpr std::size_t kHidden = 3;
  static constexpr std::size_t kTables = 4;

  // on_commit sees each transaction once, before anybody else does.
  Database(Random& random, std::function<void(const CommittedTransaction&)> on_commit);

  // One statement of one client, or several commits without anything between them.
  void step(WallTime now);
  // Commits of its own making, for tests that replay a recording: C and E as recorded.
  void add(CommittedTransaction transaction);
  // The server stops or crashes.
  void abort_open_transactions();
  void finish_open_transactions(WallTime now);
  // WAL that nobody decodes: vacuum, checkpoints.
  void write_other_wal();

  [[nodiscard]] const std::deque<CommittedTransaction>& committed() const { return committed_; }
  [[nodiscard]] Lsn wal_end() const { return wal_end_; }
  // Where the oldest open transaction began: what restart_lsn of a slot can not pass.
  [[nodiscard]] Lsn oldest_open() const;

 private:
  struct Client {
    bool in_transaction = false;
    Lsn began;
    std::vector<RowChange> changes;
    std::vector<std::size_t> altered;  // tables it has locked
    std::vector<bool> written = std::vector<bool>(kTables);
  };

  Lsn write(std::uint64_t bytes);
  void write_row(Client& client);
  void alter(Client& client);
  void commit(Client& client, WallTime now);
  void abort(Client& client);
  void end(Client& client);
  [[nodiscard]] bool locked_by_another(std::size_t table, const Client& client) const;
  [[nodiscard]] bool written_by_another(std::size_t table, const Client& client) const;
  [[nodiscard]] Row random_row(const TableVersion& table);

  Random& random_;
  std::function<void(const CommittedTransaction&)> on_commit_;
  Lsn wal_end_{0x1000000};
  std::uint32_t next_xid_ = 700;
  std::uint64_t next_name_ = 0;
  std::deque<TableVersion> versions_;  // stable addresses
  std::vector<const TableVersion*> tables_;
  std::vector<const TableVersion*> before_alter_;  // by table; what an abort goes back to
  std::vector<Client> clients_ = std::vector<Client>(kClients);
  std::deque<CommittedTransaction> committed_;
};

}  // namespace outboxx::simulation
