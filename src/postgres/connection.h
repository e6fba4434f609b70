// Connection: a libpq connection that never blocks longer than asked: connecting (name resolution included) and queries wait
// in poll(2) with a deadline and give way to a stop of the operator.
#pragma once

#include <libpq-fe.h>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "postgres/options.h"

namespace outboxx {

enum class ConnectionMode { kSql, kReplication };

// Rows of a query, as text. Owns libpq's result; views are valid as long as it.
class QueryResult {
 public:
  explicit QueryResult(PGresult* result) : result_(result, &PQclear) {}

  [[nodiscard]] int rows() const { return PQntuples(result_.get()); }
  // Nothing for SQL NULL.
  [[nodiscard]] std::optional<std::string_view> value(int row, int column) const;
  // The empty string for SQL NULL.
  [[nodiscard]] std::string text(int row, int column) const { return std::string(value(row, column).value_or("")); }

 private:
  std::unique_ptr<PGresult, decltype(&PQclear)> result_;
};

// Move-only. One thread.
class Connection {
 public:
  // Connects with the session settings pinned (client_encoding UTF8 unless the database is SQL_ASCII, DateStyle, IntervalStyle,
  // bytea_output, extra_float_digits, TimeZone if options say so), against role and database overrides, and checks them.
  // kPostgresUnreachable: no answer, or the server is starting up, shutting down or out of connections.
  // kPostgresMisconfigured: it answers and refuses (password, pg_hba.conf, no such database, no REPLICATION attribute).
  // Messages never hold a secret: libpq's own texts that quote the connection string are replaced.
  [[nodiscard]] static Result<Connection> open(const PostgresOptions& options, ConnectionMode mode, StopSignal stop);

  // One statement, waited for until the deadline. Parameters are $1, $2 ...; none are allowed in kReplication mode, whose
  // values go through quote_identifier() and quote_literal(). Server errors carry the SQLSTATE; a lost connection is
  // kPostgresUnreachable. What the server says at level NOTICE or WARNING is logged.
  [[nodiscard]] Result<QueryResult> query(const std::string& sql, std::initializer_list<std::string> parameters,
                                          TimePoint deadline, StopSignal stop);

  // The two halves of query(), for a caller with a loop of its own: start_query() sends, take_result() returns nothing while
  // the answer is not complete (wait for fd() to be readable), and then the result.
  [[nodiscard]] Result<> start_query(const std::string& sql, std::initializer_list<std::string> parameters);
  [[nodiscard]] Result<std::optional<QueryResult>> take_result();

  // Quoted by libpq for this connection's encoding: safe to paste into SQL.
  [[nodiscard]] std::string quote_identifier(std::string_view name) const;
  [[nodiscard]] std::string quote_literal(std::string_view text) const;

  [[nodiscard]] int fd() const { return PQsocket(connection_.get()); }
  [[nodiscard]] int server_version() const { return PQserverVersion(connection_.get()); }  // 150020 for 15.20
  [[nodiscard]] int backend_pid() const { return PQbackendPID(connection_.get()); }
  [[nodiscard]] bool is_sql_ascii() const;                         // the database's encoding
  [[nodiscard]] PGconn* raw() const { return connection_.get(); }  // for LibpqStream alone

 private:
  explicit Connection(PGconn* connection) : connection_(connection, &PQfinish) {}

  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

// How PostgreSQL quotes a name inside a publication_names list and in advice shown to people; needs no connection.
[[nodiscard]] std::string quote_sql_identifier(std::string_view name);

}  // namespace outboxx
