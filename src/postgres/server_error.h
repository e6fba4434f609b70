// What PostgreSQL and libpq say went wrong, as an Error: the code that decides between retry and stop, the text on one line,
// the hint that mends it.
#pragma once

#include <libpq-fe.h>

#include <string>
#include <string_view>

#include "base/error.h"

namespace outboxx {

// kPostgresUnreachable for what passes by itself (class 08, 53, 57, 58, 40, XX, and 55006 "object in use"), otherwise
// kPostgresMisconfigured. SQLSTATEs: PostgreSQL documentation, appendix A.
[[nodiscard]] ErrorCode code_of_sqlstate(std::string_view sqlstate);

// Of a result with an error status. Without a SQLSTATE it is libpq's own and means a lost connection.
[[nodiscard]] Error error_of_result(const PGresult* result);

// Of a connection that was established and then lost.
[[nodiscard]] Error lost_connection(const PGconn* connection);

// A failed attempt to connect.
struct ConnectFailure {
  std::string_view text;  // PQerrorMessage() at PQERRORS_VERBOSE: before a session exists there is no other SQLSTATE
  bool answered = false;  // the TCP or socket connection was made
  std::string_view user;
  std::string_view database;
  std::string connection_source;  // PostgresOptions::connection_source()
};
[[nodiscard]] Error error_of_connect(const ConnectFailure& failure);

// libpq's lines joined by "; ", without advice (that of switching verification off above all), source locations and
// repetitions (sslmode=prefer tries twice).
[[nodiscard]] std::string one_line(std::string_view text);

}  // namespace outboxx
