// Connection: a libpq connection that never blocks longer than asked: connecting (name resolution included) and queries wait
// in poll(2) with a deadline and give way to a stop of the operator.
#pragma once

#include <libpq-fe.h>

#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "postgres/options.h"

namespace outboxx {

enum class ConnectionMode : std::uint8_t {
  kSql,          // search_path is pg_catalog: nobody's function can stand before the server's
  kReplication,  // search_path is the role's
  kSnapshot,     // SQL, with the search_path of kReplication: the text of regclass and its like depends on it
};

// Rows of a query, as text. Owns libpq's result; views are valid as long as it.
class QueryResult {
 public:
  explicit QueryResult(PGresult* result) : result_(result, &PQclear) {}

  [[nodiscard]] int rows() const { return PQntuples(result_.get()); }
  // Nothing for SQL NULL.
  [[nodiscard]] std::optional<std::string_view> value(int row, int column) const;
  // The empty string for SQL NULL.
  [[nodiscard]] std::string text(int row, int column) const { return std::string(value(row, column).value_or("")); }
  // Of a column whose values are in Number's range; 0 for SQL NULL.
  template <typename Number>
  [[nodiscard]] Number number(int row, int column) const {
    const std::string_view text = value(row, column).value_or("");
    Number number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
  }

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
  // kConfig: the connection string is malformed. kInterrupted: the operator asked to stop.
  // Several hosts, or addresses of a host, are tried in turn; each gets its share of the time that is left.
  // Messages never hold a secret: libpq's own texts that quote the connection string are replaced.
  [[nodiscard]] static Result<Connection> open(const PostgresOptions& options, ConnectionMode mode, StopSignal stop);

  // One statement, waited for until the deadline; after a missed deadline the connection is of no more use. Parameters are $1,
  // $2 ...; none are allowed in kReplication mode, whose values go through quote_identifier() and quote_literal(). COPY and
  // START_REPLICATION bring an empty result, with the connection in the copy state. Server errors carry the SQLSTATE; a lost
  // connection is kPostgresUnreachable. What the server says at level NOTICE or WARNING is logged.
  [[nodiscard]] Result<QueryResult> query(const std::string& sql, std::initializer_list<std::string> parameters,
                                          TimePoint deadline, StopSignal stop);

  // The two halves of query(). For a caller with a loop of its own take_result() returns nothing while the answer is not
  // complete (wait for fd() to be readable), and then the result.
  [[nodiscard]] Result<> start_query(const std::string& sql, std::initializer_list<std::string> parameters);
  [[nodiscard]] Result<QueryResult> await_result(TimePoint deadline, StopSignal stop);
  [[nodiscard]] Result<std::optional<QueryResult>> take_result();

  // Quoted by libpq for this connection's encoding: safe to paste into SQL.
  [[nodiscard]] std::string quote_identifier(std::string_view name) const;
  [[nodiscard]] std::string quote_literal(std::string_view text) const;

  [[nodiscard]] int fd() const { return PQsocket(connection_.get()); }
  [[nodiscard]] int server_version() const { return PQserverVersion(connection_.get()); }  // 150020 for 15.20
  [[nodiscard]] std::string database() const { return PQdb(connection_.get()); }
  [[nodiscard]] int backend_pid() const { return PQbackendPID(connection_.get()); }
  [[nodiscard]] bool is_sql_ascii() const;  // the database's encoding
  // A notice said that the publication could not be loaded (PostgreSQL 18 goes on, without its rows).
  [[nodiscard]] bool publication_was_skipped() const { return *publication_skipped_; }
  [[nodiscard]] PGconn* raw() const { return connection_.get(); }  // for the streams that end in a COPY

 private:
  using Handle = std::unique_ptr<PGconn, decltype(&PQfinish)>;

  explicit Connection(PGconn* connection);

  [[nodiscard]] static Result<Connection> connect(const PostgresOptions& options,
                                                  const std::map<std::string, std::string>& parameters, TimePoint deadline,
                                                  StopSignal stop);
  [[nodiscard]] Result<> finish_connecting(const PostgresOptions& options, const std::string& server_name, TimePoint deadline,
                                           StopSignal stop);
  [[nodiscard]] Result<> pin_settings(bool pin_time_zone, TimePoint deadline, StopSignal stop);

  [[nodiscard]] Result<std::optional<QueryResult>> take_finished();

  std::unique_ptr<bool> publication_skipped_;  // libpq keeps the address, so it stays when the connection moves
  Handle connection_;
  std::optional<QueryResult> result_;  // of the query at hand, until the server is ready for the next
  std::optional<Error> error_;
};

// How PostgreSQL quotes a name inside a publication_names list and in advice shown to people; needs no connection.
[[nodiscard]] std::string quote_sql_identifier(std::string_view name);

// The text form of a text[] or name[] value.
[[nodiscard]] std::string quote_sql_array(std::span<const std::string> values);

// Of the library that is linked: "15.18".
[[nodiscard]] std::string libpq_version();

}  // namespace outboxx
