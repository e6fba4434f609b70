#include "postgres/snapshot_reader.h"

#include <libpq-fe.h>
#include <openssl/ssl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/wait.h"
#include "postgres/connection.h"
#include "postgres/copy_binary.h"
#include "postgres/options.h"
#include "postgres/server_error.h"
#include "postgres/snapshot_plan.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

// Of the import, and of what is asked about it: undefined_table, undefined_column, invalid_schema_name, undefined_function,
// lock_not_available, object_not_in_prerequisite_state, invalid_parameter_value and, from PostgreSQL 17 on, undefined_object
// (all three: the snapshot is gone), duplicate_object (the temporary slot of a session that the server still keeps).
constexpr auto kMendedByANewSnapshot =
    std::to_array<std::string_view>({"42P01", "42703", "3F000", "42883", "55P03", "55000", "22023", "42704", "42710"});

// Of rows, where the others may be what a value meets in a condition, each time again: undefined_table, undefined_column,
// invalid_schema_name, lock_not_available.
constexpr auto kMendedForRows = std::to_array<std::string_view>({"42P01", "42703", "3F000", "55P03"});

Error passing(Error error, std::span<const std::string_view> sqlstates) {
  if (error.code == ErrorCode::kPostgresMisconfigured && std::ranges::find(sqlstates, error.sqlstate) != sqlstates.end()) {
    error.code = ErrorCode::kPostgresUnreachable;
  }
  return error;
}

}  // namespace

Result<SnapshotReader> SnapshotReader::open(const PostgresOptions& options, const std::string& snapshot, StopSignal stop) {
  SnapshotReader reader = TRY(connect(options, stop));
  TRY(reader.import(snapshot, stop));
  return reader;
}

Result<SnapshotReader> SnapshotReader::connect(const PostgresOptions& options, StopSignal stop) {
  return SnapshotReader(TRY(Connection::open(options, ConnectionMode::kSnapshot, stop)));
}

Result<> SnapshotReader::import(const std::string& snapshot, StopSignal stop) {
  TRY(connection_.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", {}, catalog_deadline(), stop));
  auto imported =
      connection_.query("SET TRANSACTION SNAPSHOT " + connection_.quote_literal(snapshot), {}, catalog_deadline(), stop);
  if (!imported) {
    return fail_with_context("could not import the snapshot", snapshot_error(std::move(imported).error()));
  }
  return {};
}

Result<> SnapshotReader::end(StopSignal stop) {
  CHECK(is_idle());
  TRY(connection_.query("COMMIT", {}, catalog_deadline(), stop));
  return {};
}

SnapshotReader::SnapshotReader(Connection connection)
    : connection_(std::move(connection)),
      tls_(PQsslInUse(connection_.raw()) != 0 ? PQsslStruct(connection_.raw(), "OpenSSL") : nullptr),
      data_(nullptr, &PQfreemem) {
  if (tls_ != nullptr) {
    // A record holds one row: without it, OpenSSL makes two system calls for each.
    SSL_set_read_ahead(static_cast<SSL*>(tls_), 1);
  }
}

Result<> SnapshotReader::start(const SnapshotTable& table, const std::string& copy) {
  CHECK(state_ == State::kIdle);
  table_ = table.quoted_name;
  decoder_.emplace(table.types);
  state_ = State::kStarting;
  return connection_.start_query(copy, {});
}

Result<SnapshotReader::Step> SnapshotReader::next() {
  auto step = next_row();
  if (!step) {
    return fail_with_context("could not read table " + table_, passing(std::move(step).error(), kMendedForRows));
  }
  return step;
}

Result<SnapshotReader::Step> SnapshotReader::next_row() {
  row_ = {};
  data_.reset();
  if (state_ == State::kStarting) {
    if (!TRY(take_result())) {
      return Step::kNothingYet;
    }
    state_ = State::kCopying;
  }
  while (state_ == State::kCopying) {
    char* data = nullptr;
    const int length = receive(&data);
    data_.reset(data);
    if (length == 0) {
      return Step::kNothingYet;
    }
    if (length == -1) {
      state_ = State::kEnding;
      break;
    }
    if (length < 0) {
      return std::unexpected(lost_connection(connection_.raw()));
    }
    if (const auto row = TRY(decoder_->decode({data, static_cast<std::size_t>(length)}))) {
      row_ = *row;
      return Step::kRow;
    }
  }
  CHECK(state_ == State::kEnding);
  if (!TRY(take_result())) {
    return Step::kNothingYet;
  }
  TRY(decoder_->finish());  // an error of the server came first
  state_ = State::kIdle;
  return Step::kEnded;
}

// As PQgetCopyData(); -2 for a lost connection too, with nothing left to read.
int SnapshotReader::receive(char** data) {
  PGconn* const raw = connection_.raw();
  int length = PQgetCopyData(raw, data, 1);
  bool lost = false;
  if (length == 0) {
    do {  // poll(2) does not announce what OpenSSL holds
      lost = PQconsumeInput(raw) == 0;
      length = PQgetCopyData(raw, data, 1);
    } while (length == 0 && !lost && tls_holds_bytes());
  }
  return length == 0 && lost ? -2 : length;
}

Result<std::optional<QueryResult>> SnapshotReader::take_result() {
  while (true) {
    auto result = TRY(connection_.take_result());
    if (result || !tls_holds_bytes()) {
      return result;
    }
  }
}

pollfd SnapshotReader::poll_fd() {
  // A failure is next()'s to report.
  const int events = PQflush(connection_.raw()) == 1 ? POLLIN | POLLOUT : POLLIN;
  return {.fd = connection_.fd(), .events = static_cast<short>(events), .revents = 0};
}

// Also what it has read ahead, unless that is a part of a record: then it wants the rest, which poll(2) announces.
bool SnapshotReader::tls_holds_bytes() const {
  const auto* const tls = static_cast<const SSL*>(tls_);
  return tls != nullptr && SSL_has_pending(tls) != 0 && !SSL_want_read(tls);
}

Error snapshot_error(Error error) {
  return passing(std::move(error), kMendedByANewSnapshot);
}

}  // namespace outboxx
