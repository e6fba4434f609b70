#include "postgres/server_error.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "postgres/connection.h"

namespace outboxx {
namespace {

// "FATAL:  28P01: password ...": severity, two spaces, SQLSTATE. The severity may be translated; this shape is libpq's.
constexpr std::string_view kSeverityEnd = ":  ";
constexpr std::size_t kSqlstateLength = 5;

bool is_sqlstate_at(std::string_view text, std::size_t position) {
  const auto code = text.substr(position, kSqlstateLength);
  return code.size() == kSqlstateLength && text.substr(position + kSqlstateLength, 2) == ": " &&
         std::ranges::all_of(code, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
}

struct VerboseText {
  std::string text;      // without SQLSTATEs
  std::string sqlstate;  // the last one: libpq stops at the first server that refuses for good
};

VerboseText take_sqlstate(std::string_view text) {
  VerboseText result;
  while (!text.empty()) {
    const auto end = text.find(kSeverityEnd);
    if (end == std::string_view::npos) {
      break;
    }
    const auto code = end + kSeverityEnd.size();
    result.text.append(text.substr(0, end)).append(": ");
    text.remove_prefix(code);
    if (is_sqlstate_at(text, 0)) {
      result.sqlstate = text.substr(0, kSqlstateLength);
      text.remove_prefix(kSqlstateLength + 2);
    }
  }
  result.text.append(text);
  return result;
}

// The server answered, and then libpq gave up without a SQLSTATE. These may work next time; all others are TLS or
// authentication settings of ours. libpq's texts are English as long as nobody calls setlocale(3).
bool may_pass(std::string_view text) {
  static constexpr std::array<std::string_view, 11> kTexts = {
      "server closed the connection unexpectedly",
      "could not receive",
      "could not send",
      "Connection reset",
      "SSL SYSCALL error",
      "unexpected eof while reading",  // OpenSSL 3, of a peer that went away
      "SSL connection has been closed unexpectedly",
      "could not fork new process",          // the server has no memory for one, and tells so without SQLSTATE,
      "error response during SSL exchange",  // or in place of its answer to the request for TLS
      "hot standby mode",                    // target_session_attrs: a failover changes it
      "session is",                          // "session is read-only", "session is not read-only"
  };
  return std::ranges::any_of(kTexts, [text](std::string_view part) { return text.contains(part); });
}

// What libpq and OpenSSL say of certificates, with what they leave out. The first text that matches counts.
std::string tls_hint(std::string_view text, const std::string& variable) {
  struct Advice {
    std::string_view text;
    std::string_view hint;
  };
  static constexpr auto kAdvice = std::to_array<Advice>({
      {"root certificate file",
       "Name the file with the certificate of the server's authority, sslrootcert=FILE. Authorities that the system trusts "
       "are in /etc/ssl/certs/ca-certificates.crt (Debian) or, with libpq 16 and newer, sslrootcert=system. It goes into "
       "the connection string in "},
      {"certificate verify failed",
       "The server's certificate has expired, is revoked, or is not of an authority in sslrootcert. Look at it with: openssl "
       "s_client -starttls postgres -connect HOST:PORT -CAfile FILE. The file is named by the connection string in "},
      {"does not match host name",
       "Use a name of the server's certificate as host, with hostaddr=ADDRESS if it does not resolve, in the connection "
       "string in "},
      {"server does not support SSL",
       "Switch ssl on at the server. If nobody else can reach the network between, write sslmode=disable, and insecure = true "
       "in [source.postgres]. The connection string is in "},
      {"alert", "The server refuses the client certificate. Check sslcert and sslkey of the connection string in "},
  });
  const auto* advice = std::ranges::find_if(kAdvice, [text](const Advice& one) { return text.contains(one.text); });
  return advice == kAdvice.end() ? std::string() : std::string(advice->hint) + variable + ".";
}

std::string connect_hint(std::string_view sqlstate, const ConnectFailure& failure) {
  const std::string& variable = failure.connection_source;
  if (sqlstate == "28P01" || failure.text.contains("no password supplied")) {
    return "Check the user and the password of the connection string in " + variable + ".";
  }
  if (sqlstate == "28000" && failure.text.contains("pg_hba.conf")) {
    return "Allow the role in pg_hba.conf with a line for its database: hostssl " + quote_sql_identifier(failure.database) +
           " " + quote_sql_identifier(failure.user) +
           " ADDRESS scram-sha-256. Logical replication matches the line of the database; the keyword \"replication\" is "
           "not needed.";
  }
  if (sqlstate == "3D000" || sqlstate == "28000") {
    return "Check the user and the database of the connection string in " + variable + ".";
  }
  if (sqlstate == "42501") {
    return "Run as a superuser: ALTER ROLE " + quote_sql_identifier(failure.user) +
           " LOGIN REPLICATION; (Amazon RDS: GRANT rds_replication TO " + quote_sql_identifier(failure.user) + ";)";
  }
  if (sqlstate == "53300") {
    return "Raise max_wal_senders or max_connections of the server, or the connection limit of the role or database.";
  }
  return sqlstate.empty() ? tls_hint(failure.text, variable) : std::string();
}

std::string field(const PGresult* result, int code) {
  const char* const text = PQresultErrorField(result, code);
  return text != nullptr ? text : "";
}

}  // namespace

ErrorCode code_of_sqlstate(std::string_view sqlstate) {
  static constexpr std::array<std::string_view, 6> kPassingClasses = {"08", "40", "53", "57", "58", "XX"};
  const bool passes = std::ranges::find(kPassingClasses, sqlstate.substr(0, 2)) != kPassingClasses.end() || sqlstate == "55006";
  return passes ? ErrorCode::kPostgresUnreachable : ErrorCode::kPostgresMisconfigured;
}

Error error_of_result(const PGresult* result) {
  Error error;
  error.sqlstate = field(result, PG_DIAG_SQLSTATE);
  if (error.sqlstate.empty()) {
    error.code = ErrorCode::kPostgresUnreachable;
    error.message = "lost the connection to PostgreSQL: " + one_line(PQresultErrorMessage(result));
    return error;
  }
  error.code = code_of_sqlstate(error.sqlstate);
  error.message = field(result, PG_DIAG_MESSAGE_PRIMARY);
  error.hint = field(result, PG_DIAG_MESSAGE_DETAIL);
  const std::string hint = field(result, PG_DIAG_MESSAGE_HINT);
  if (!error.hint.empty() && !hint.empty()) {
    error.hint += ' ';
  }
  error.hint += hint;
  return error;
}

Error lost_connection(const PGconn* connection) {
  return Error{.code = ErrorCode::kPostgresUnreachable,
               .message = "lost the connection to PostgreSQL: " + one_line(PQerrorMessage(connection)),
               .hint = {},
               .sqlstate = {}};
}

Error error_of_connect(const ConnectFailure& failure) {
  VerboseText verbose = take_sqlstate(failure.text);
  Error error{.code = ErrorCode::kPostgresUnreachable,
              .message = one_line(verbose.text),
              .hint = connect_hint(verbose.sqlstate, failure),
              .sqlstate = verbose.sqlstate};
  if (!verbose.sqlstate.empty()) {
    error.code = code_of_sqlstate(verbose.sqlstate);
  } else if (failure.answered && !may_pass(verbose.text)) {
    error.code = ErrorCode::kPostgresMisconfigured;
  }
  return error;
}

std::string one_line(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '\t' || line.starts_with("LOCATION:") || out.ends_with(line) ||
        line.starts_with("Either provide the file")) {  // "or change sslmode to disable server certificate verification"
      continue;
    }
    out.append(out.empty() ? "" : "; ").append(line);
  }
  return out;
}

}  // namespace outboxx
