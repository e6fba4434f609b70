#include "postgres/connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "postgres/conninfo.h"
#include "postgres/resolver.h"
#include "postgres/server_error.h"

namespace outboxx {
namespace {

using Parameters = std::map<std::string, std::string>;

// The time that one of several attempts may take, so that a black hole leaves some for the others.
TimePoint share_of(TimePoint deadline, std::size_t attempts_left) {
  const TimePoint now = Clock::now();
  return now + (deadline - now) / static_cast<Duration::rep>(attempts_left);
}

std::string name_of(const Parameters& parameters) {
  const auto value = [&parameters](const char* keyword) {
    const auto found = parameters.find(keyword);
    return found != parameters.end() ? found->second : std::string();
  };
  const std::string host = value("host");
  const std::string address = value("hostaddr").empty() || value("hostaddr") == host ? "" : " (" + value("hostaddr") + ")";
  return "\"" + (host.empty() ? value("hostaddr") : host) + "\"" + (host.empty() ? "" : address) + ", port " + value("port");
}

bool is_skipped_publication(const PGresult* notice, std::string_view text) {
  // The text may be translated; the name of the server's function is not.
  const char* const function = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);
  return text.contains("skipped loading publication") ||
         (function != nullptr && std::string_view(function) == "LoadPublications");
}

void on_notice(void* publication_skipped, const PGresult* notice) noexcept {
  const char* const primary = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
  const std::string_view text = primary != nullptr ? primary : "";
  const char* const severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  const bool is_warning = severity != nullptr && std::string_view(severity) == "WARNING";
  log::write(is_warning ? log::Level::kWarn : log::Level::kDebug, "PostgreSQL says: " + std::string(text));
  if (is_skipped_publication(notice, text)) {
    *static_cast<bool*>(publication_skipped) = true;
  }
}

// Belt and braces: no text of libpq's is known to hold the password of a well-formed string.
std::string without_password(std::string text, const PGconn* connection) {
  const char* const password = PQpass(connection);
  const std::string_view secret = password != nullptr ? password : "";
  static constexpr std::size_t kShortest = 4;  // shorter ones occur in words
  for (auto found = text.find(secret); secret.size() >= kShortest && found != std::string::npos; found = text.find(secret)) {
    text.replace(found, secret.size(), "***");
  }
  return text;
}

std::unexpected<Error> wrong_setting(const std::string& name, std::string_view is, const char* wanted) {
  return fail(ErrorCode::kPostgresMisconfigured,
              "setting \"" + name + "\" of the session is \"" + std::string(is) + "\", expected \"" + wanted + "\"",
              "Something between Outboxx and the server drops the \"options\" of the connection. Connect without a connection "
              "pooler.");
}

// The addresses of one host of the connection string, each as a parameter set.
Result<std::vector<Parameters>> attempts_for(const ServerAddress& server, Parameters parameters, TimePoint deadline,
                                             StopSignal stop) {
  std::vector<std::string> addresses{server.hostaddr};
  if (server.hostaddr.empty() && !is_address_or_path(server.host)) {
    addresses = TRY(resolve_host(server.host, deadline, stop));
  }
  parameters["host"] = server.host;
  parameters["port"] = server.port;
  std::vector<Parameters> attempts(addresses.size(), parameters);
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    attempts[i]["hostaddr"] = addresses[i];
  }
  return attempts;
}

// Tries them in turn. kPostgresUnreachable is an invitation to try the next one; any other failure is final.
template <typename Attempt>
Result<Connection> first_reachable(std::size_t count, TimePoint deadline, const Attempt& attempt) {
  std::string failures;
  for (std::size_t index = 0;; ++index) {
    Result<Connection> connection = attempt(index, share_of(deadline, count - index));
    if (connection) {
      return connection;
    }
    Error& error = connection.error();
    error.message.insert(0, failures);
    if (error.code != ErrorCode::kPostgresUnreachable || index + 1 == count) {
      return connection;
    }
    failures = error.message + "; ";
  }
}

}  // namespace

Connection::Connection(PGconn* connection)
    : publication_skipped_(std::make_unique<bool>(false)), connection_(connection, &PQfinish) {
  // Before a session exists, the verbose text is the only place that has the SQLSTATE.
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  PQsetNoticeReceiver(connection, &on_notice, publication_skipped_.get());
}

Result<Connection> Connection::open(const PostgresOptions& options, ConnectionMode mode, StopSignal stop) {
  const TimePoint deadline = Clock::now() + options.connect_timeout;
  const Conninfo conninfo = TRY(read_conninfo(options, mode));
  const auto connect_to = [&](const ServerAddress& server, TimePoint server_deadline) -> Result<Connection> {
    const auto attempts = TRY(attempts_for(server, conninfo.parameters, server_deadline, stop));
    return first_reachable(attempts.size(), server_deadline, [&](std::size_t index, TimePoint attempt_deadline) {
      return connect(options, attempts[index], attempt_deadline, stop);
    });
  };
  auto reached = first_reachable(conninfo.servers.size(), deadline, [&](std::size_t index, TimePoint server_deadline) {
    return connect_to(conninfo.servers[index], server_deadline);
  });
  if (!reached && reached.error().code == ErrorCode::kPostgresUnreachable) {
    Error& error = reached.error();
    if (error.hint.empty()) {
      error.hint = "Check that the server runs, and that the connection string in " + options.connection_source() +
                   " names its host and port.";
    }
    return fail_with_context("could not connect to PostgreSQL", std::move(error));
  }
  Connection connection = TRY(std::move(reached));
  TRY(connection.pin_settings(options.pin_time_zone, deadline, stop));
  return connection;
}

Result<Connection> Connection::connect(const PostgresOptions& options, const Parameters& parameters, TimePoint deadline,
                                       StopSignal stop) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : parameters) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  PGconn* const handle = PQconnectStartParams(keywords.data(), values.data(), 0);
  if (handle == nullptr) {
    return fail(ErrorCode::kInternal, "could not connect to PostgreSQL: out of memory");
  }
  Connection connection(handle);
  TRY(connection.finish_connecting(options, name_of(parameters), deadline, stop));
  PQsetnonblocking(handle, 1);
  return connection;
}

Result<> Connection::finish_connecting(const PostgresOptions& options, const std::string& server_name, TimePoint deadline,
                                       StopSignal stop) {
  bool answered = false;
  auto state = PQstatus(raw()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
    const short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    if (TRY(wait_for(fd(), events, deadline, stop)) == WaitResult::kTimedOut) {
      return fail(ErrorCode::kPostgresUnreachable, "connection to server at " + server_name + " failed: no answer in time");
    }
    state = PQconnectPoll(raw());
    const auto status = PQstatus(raw());
    answered = answered || (status != CONNECTION_BAD && status != CONNECTION_NEEDED && status != CONNECTION_STARTED);
  }
  if (state == PGRES_POLLING_OK) {
    return {};
  }
  const std::string text = without_password(PQerrorMessage(raw()), raw());
  const bool tried = answered || text.contains("connection to server");
  if (!tried || text.contains(" for connection option \"")) {  // some values are checked as late as they are used
    return std::unexpected(connection_string_error(options, text));
  }
  return std::unexpected(error_of_connect({.text = text,
                                           .answered = answered,
                                           .user = PQuser(raw()),
                                           .database = PQdb(raw()),
                                           .connection_source = options.connection_source()}));
}

Result<> Connection::pin_settings(bool pin_time_zone, TimePoint deadline, StopSignal stop) {
  const char* const encoding = is_sql_ascii() ? "SQL_ASCII" : "UTF8";
  if (is_sql_ascii()) {
    // Its bytes are of no encoding: asked for UTF8, the server would fail at the first invalid one, for ever.
    TRY(query("SET client_encoding TO 'SQL_ASCII'", {}, deadline, stop));
  }
  static constexpr int kFirstVersionWithTransactionTimeout = 170000;
  if (server_version() >= kFirstVersionWithTransactionTimeout) {
    TRY(query("SET transaction_timeout TO 0", {}, deadline, stop));  // older servers would refuse it in the start-up packet
  }
  const std::array<std::pair<const char*, const char*>, 7> wanted = {{{"client_encoding", encoding},
                                                                      {"DateStyle", "ISO"},
                                                                      {"IntervalStyle", "postgres"},
                                                                      {"bytea_output", "hex"},
                                                                      {"extra_float_digits", "3"},
                                                                      {"client_min_messages", "warning"},
                                                                      {"TimeZone", "UTC"}}};
  std::string sql;
  for (const auto& [name, value] : wanted) {
    sql.append(sql.empty() ? "SELECT " : ", ").append("pg_catalog.current_setting('").append(name).append("')");
  }
  const QueryResult shown = TRY(query(sql, {}, deadline, stop));
  const std::size_t pinned = pin_time_zone ? wanted.size() : wanted.size() - 1;
  for (std::size_t i = 0; i < pinned; ++i) {
    const auto& [name, value] = wanted[i];
    // DateStyle is "ISO, MDY": the second part is for input alone.
    if (const std::string is = shown.text(0, static_cast<int>(i)); !is.starts_with(value)) {
      return wrong_setting(name, is, value);
    }
  }
  return {};
}

Result<QueryResult> Connection::query(const std::string& sql, std::initializer_list<std::string> parameters, TimePoint deadline,
                                      StopSignal stop) {
  TRY(start_query(sql, parameters));
  return await_result(deadline, stop);
}

Result<QueryResult> Connection::await_result(TimePoint deadline, StopSignal stop) {
  while (true) {
    if (auto result = TRY(take_result())) {
      return *std::move(result);
    }
    const int events = PQflush(raw()) == 1 ? POLLIN | POLLOUT : POLLIN;
    if (TRY(wait_for(fd(), static_cast<short>(events), deadline, stop)) == WaitResult::kTimedOut) {
      return fail(ErrorCode::kPostgresUnreachable, "PostgreSQL did not answer a query in time");
    }
  }
}

Result<> Connection::start_query(const std::string& sql, std::initializer_list<std::string> parameters) {
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const std::string& parameter : parameters) {
    values.push_back(parameter.c_str());
  }
  result_.reset();
  error_.reset();
  // The simple protocol is the only one that a walsender speaks.
  const int sent = values.empty() ? PQsendQuery(raw(), sql.c_str())
                                  : PQsendQueryParams(raw(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                                                      values.data(), nullptr, nullptr, 0);
  if (sent == 0) {
    return std::unexpected(lost_connection(raw()));
  }
  return {};
}

Result<std::optional<QueryResult>> Connection::take_result() {
  const bool lost = PQconsumeInput(raw()) == 0;
  while (PQisBusy(raw()) == 0) {
    PGresult* const result = PQgetResult(raw());
    if (result == nullptr) {
      return take_finished();
    }
    const auto status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
      const std::unique_ptr<PGresult, decltype(&PQclear)> owner(result, &PQclear);
      error_ = error_ ? error_ : error_of_result(result);  // the first says why, a lost connection only follows
      continue;
    }
    result_.emplace(result);
    if (status == PGRES_COPY_OUT || status == PGRES_COPY_IN || status == PGRES_COPY_BOTH) {
      return take_finished();
    }
  }
  if (lost) {
    return std::unexpected(error_ ? *std::move(error_) : lost_connection(raw()));
  }
  return std::optional<QueryResult>();
}

Result<std::optional<QueryResult>> Connection::take_finished() {
  if (error_) {
    return std::unexpected(*std::exchange(error_, std::nullopt));
  }
  if (!result_) {
    return std::unexpected(lost_connection(raw()));
  }
  return std::exchange(result_, std::nullopt);
}

std::string Connection::quote_identifier(std::string_view name) const {
  const std::unique_ptr<char, decltype(&PQfreemem)> quoted(PQescapeIdentifier(raw(), name.data(), name.size()), &PQfreemem);
  CHECK(quoted != nullptr);  // names come from a configuration file that is UTF-8, or from this very connection
  return quoted.get();
}

std::string Connection::quote_literal(std::string_view text) const {
  const std::unique_ptr<char, decltype(&PQfreemem)> quoted(PQescapeLiteral(raw(), text.data(), text.size()), &PQfreemem);
  CHECK(quoted != nullptr);
  return quoted.get();
}

bool Connection::is_sql_ascii() const {
  const char* const encoding = PQparameterStatus(raw(), "server_encoding");
  return encoding != nullptr && std::string_view(encoding) == "SQL_ASCII";
}

std::optional<std::string_view> QueryResult::value(int row, int column) const {
  if (PQgetisnull(result_.get(), row, column) != 0) {
    return std::nullopt;
  }
  return std::string_view(PQgetvalue(result_.get(), row, column),
                          static_cast<std::size_t>(PQgetlength(result_.get(), row, column)));
}

std::string quote_sql_identifier(std::string_view name) {
  std::string quoted = "\"";
  for (const char character : name) {
    quoted.append(character == '"' ? 2 : 1, character);
  }
  return quoted + '"';
}

std::string quote_sql_array(std::span<const std::string> values) {
  std::string out = "{";
  for (const std::string& value : values) {
    out += out.size() > 1 ? ",\"" : "\"";
    for (const char character : value) {
      if (character == '"' || character == '\\') {
        out += '\\';
      }
      out += character;
    }
    out += '"';
  }
  return out + "}";
}

std::string libpq_version() {
  const int number = PQlibVersion();  // 150018
  return std::to_string(number / 10'000) + "." + std::to_string(number % 10'000);
}

}  // namespace outboxx
