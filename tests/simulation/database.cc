#include "simulation/database.h"

#include <algorithm>
#include <utility>

namespace outboxx::simulation {
namespace {

constexpr std::uint64_t kPage = 8192;
constexpr std::uint64_t kPageHeader = 24;
constexpr std::uint64_t kCommitRecord = 48;
constexpr std::uint64_t kKeys = 12;

}  // namespace

Database::Database(Random& random, std::function<void(const CommittedTransaction&)> on_commit)
    : random_(random), on_commit_(std::move(on_commit)) {
  const char* const names[kTables] = {"orders", "items", "other", "hidden"};
  for (std::uint32_t table = 0; table < kTables; ++table) {
    tables_.push_back(&versions_.emplace_back(
        TableVersion{.oid = 16384 + table,
                     .schema = "public",
                     .name = names[table],
                     .replica_identity = random_.percent(30) ? 'f' : 'd',
                     .columns = {{.name = "id", .type_oid = 23, .is_key = true}, {.name = "v"}, {.name = "body"}}}));
    if (tables_.back()->replica_identity == 'f') {  // every column is part of the identity then
      std::ranges::for_each(versions_.back().columns, [](TableColumn& column) { column.is_key = true; });
    }
  }
  before_alter_ = tables_;
}

// A record begins behind the page header if the one before ended with its page.
Lsn Database::write(std::uint64_t bytes) {
  const Lsn start{wal_end_.value % kPage == 0 ? wal_end_.value + kPageHeader : wal_end_.value};
  wal_end_ = Lsn{start.value + bytes};
  return start;
}

void Database::write_other_wal() {
  (void)write(8 * random_.between(4, 400));
}

Lsn Database::oldest_open() const {
  Lsn oldest = wal_end_;
  for (const Client& client : clients_) {
    if (client.in_transaction) {
      oldest = std::min(oldest, client.began);
    }
  }
  return oldest;
}

void Database::step(WallTime now) {
  Client& client = clients_[random_.below(kClients)];
  if (!client.in_transaction) {
    client.in_transaction = true;
    client.began = wal_end_;
  }
  const std::uint64_t choice = random_.below(100);
  if (choice < 60) {
    const std::uint64_t rows = random_.percent(3) ? random_.between(20, 200) : random_.between(1, 3);
    for (std::uint64_t row = 0; row < rows; ++row) {
      write_row(client);
    }
  } else if (choice < 64) {
    alter(client);
  } else if (choice < 69) {
    abort(client);
  } else if (choice < 72) {
    write_other_wal();
  } else {
    commit(client, now);
    for (Client& other : clients_) {  // group commit: C of one is E of the other
      if (other.in_transaction && random_.percent(40)) {
        commit(other, now);
      }
    }
  }
}

void Database::finish_open_transactions(WallTime now) {
  for (Client& client : clients_) {
    if (client.in_transaction) {
      commit(client, now);
    }
  }
}

void Database::abort_open_transactions() {
  for (Client& client : clients_) {
    if (client.in_transaction) {
      abort(client);
    }
  }
}

void Database::add(CommittedTransaction transaction) {
  wal_end_ = transaction.end_lsn;
  committed_.push_back(std::move(transaction));
}

Row Database::random_row(const TableVersion& table) {
  Row row;
  for (const TableColumn& column : table.columns) {
    if (column.type_oid == 23) {
      row.push_back({.kind = 't', .text = std::to_string(random_.below(kKeys))});
    } else if (random_.percent(15)) {
      row.push_back({.kind = 'n'});
    } else {
      row.push_back({.kind = 't', .text = "x" + std::to_string(random_.below(1'000'000))});
    }
  }
  return row;
}

void Database::write_row(Client& client) {
  const std::size_t table = random_.below(kTables);
  if (locked_by_another(table, client)) {
    return;
  }
  client.written[table] = true;
  const TableVersion& version = *tables_[table];
  const bool full = version.replica_identity == 'f';
  RowChange change{.table = &version, .lsn = write(8 * random_.between(8, 30)), .old_row = {}, .new_row = random_row(version)};
  const std::uint64_t choice = random_.below(100);
  if (choice < 4) {
    change.kind = 'T';
    change.new_row.clear();
  } else if (choice < 30) {
    change.kind = 'U';
    change.old_kind = full ? 'O' : 0;
    change.old_row = full ? random_row(version) : Row{};
    if (random_.percent(40)) {
      change.new_row[2] = {.kind = 'u'};
    }
  } else if (choice < 45) {
    change.kind = 'D';
    change.old_kind = full ? 'O' : 'K';
    change.old_row = std::move(change.new_row);
    change.new_row.clear();
    for (std::size_t column = 1; !full && column < change.old_row.size(); ++column) {
      change.old_row[column] = {.kind = 'n'};
    }
  }
  if (table != kHidden) {
    client.changes.push_back(std::move(change));
  }
}

// ALTER TABLE locks the table until the end of the transaction; what follows in it has the new columns.
void Database::alter(Client& client) {
  const std::size_t table = random_.below(kTables);
  if (locked_by_another(table, client) || written_by_another(table, client)) {
    return;
  }
  if (std::ranges::find(client.altered, table) == client.altered.end()) {
    client.altered.push_back(table);
    before_alter_[table] = tables_[table];
  }
  TableVersion& version = versions_.emplace_back(*tables_[table]);
  const std::uint64_t choice = random_.below(3);
  if (choice == 0 || version.columns.size() == 3) {
    version.columns.push_back({.name = "c" + std::to_string(next_name_++), .is_key = version.replica_identity == 'f'});
  } else if (choice == 1) {
    version.columns.pop_back();
  } else {
    version.columns.back().name = "r" + std::to_string(next_name_++);
  }
  tables_[table] = &version;
  write_other_wal();
}

void Database::commit(Client& client, WallTime now) {
  CommittedTransaction transaction;
  transaction.commit_lsn = write(kCommitRecord);
  transaction.end_lsn = wal_end_;
  transaction.xid = next_xid_++;
  transaction.commit_time = now;
  transaction.changes = std::move(client.changes);
  committed_.push_back(std::move(transaction));
  on_commit_(committed_.back());
  end(client);
}

void Database::abort(Client& client) {
  for (const std::size_t table : client.altered) {
    tables_[table] = before_alter_[table];
  }
  end(client);
}

void Database::end(Client& client) {
  client = {};
}

bool Database::locked_by_another(std::size_t table, const Client& client) const {
  return std::ranges::any_of(clients_, [&](const Client& other) {
    return &other != &client && std::ranges::find(other.altered, table) != other.altered.end();
  });
}

bool Database::written_by_another(std::size_t table, const Client& client) const {
  return std::ranges::any_of(clients_, [&](const Client& other) { return &other != &client && other.written[table]; });
}

}  // namespace outboxx::simulation
