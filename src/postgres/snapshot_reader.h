// SnapshotReader: one connection that reads parts of tables in an imported snapshot, as a state machine for the loop.
//
//   open -> [ start -> next -> row -> ... -> next -> end ] -> start ...
#pragma once

#include <libpq-fe.h>
#include <poll.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/wait.h"
#include "model/change.h"
#include "postgres/connection.h"
#include "postgres/copy_binary.h"
#include "postgres/options.h"
#include "postgres/snapshot_plan.h"

namespace outboxx {

// Move-only. One thread. Memory: libpq's buffer for the largest row, and that row.
class SnapshotReader {
 public:
  enum class Step : std::uint8_t {
    kNothingYet,  // wait for poll_fd()
    kRow,         // row() is valid until the next next()
    kEnded,       // everything was read: start() may follow
  };

  // Connects and begins a read-only transaction that sees what snapshot shows, until this object goes. Waits; the session that
  // exported the snapshot must still be in its transaction. kPostgresUnreachable if it is not.
  [[nodiscard]] static Result<SnapshotReader> open(const PostgresOptions& options, const std::string& snapshot,
                                                   StopSignal stop);

  // The two halves of open(), for a reader that is used for one snapshot after the other: a transaction that is open ends.
  [[nodiscard]] static Result<SnapshotReader> connect(const PostgresOptions& options, StopSignal stop);
  [[nodiscard]] Result<> import(const std::string& snapshot, StopSignal stop);
  // Ends the transaction, and with it the locks.
  [[nodiscard]] Result<> end(StopSignal stop);

  // For queries in the transaction, while nothing is read.
  [[nodiscard]] Connection& connection() { return connection_; }
  [[nodiscard]] bool is_idle() const { return state_ == State::kIdle; }

  // Sends a COPY of the table's columns. Never blocks, as nothing below does.
  [[nodiscard]] Result<> start(const SnapshotTable& table, const std::string& copy);
  // kPostgresUnreachable for a lost connection and whatever a new snapshot mends: a table that was dropped or altered.
  [[nodiscard]] Result<Step> next();
  [[nodiscard]] Tuple row() const { return row_; }

  [[nodiscard]] pollfd poll_fd();

 private:
  enum class State : std::uint8_t { kIdle, kStarting, kCopying, kEnding };

  explicit SnapshotReader(Connection connection);

  [[nodiscard]] Result<Step> next_row();
  [[nodiscard]] int receive(char** data);
  [[nodiscard]] Result<std::optional<QueryResult>> take_result();
  [[nodiscard]] bool tls_holds_bytes() const;

  Connection connection_;
  void* tls_;  // OpenSSL's SSL, null without TLS
  State state_ = State::kIdle;
  std::string table_;  // for messages
  std::optional<CopyDecoder> decoder_;
  std::unique_ptr<char, void (*)(void*)> data_;  // of the row; libpq's
  Tuple row_;
};

// Code kPostgresUnreachable for what a new snapshot mends: a table that was dropped, altered or locked, a snapshot that is
// gone.
[[nodiscard]] Error snapshot_error(Error error);

}  // namespace outboxx
