#include "postgres/conninfo.h"

#include <libpq-fe.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/secret_file.h"
#include "postgres/server_error.h"
#include "postgres/tls_policy.h"

namespace outboxx {
namespace {

using Parameters = std::map<std::string, std::string>;
using OptionList = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

// No value that libpq accepts, so that merge_defaults() never connects.
constexpr const char* kRefusedValue = "none, only to merge the defaults";

constexpr std::string_view kSyntaxHint =
    "Use postgresql://user:password@host:port/database, with special characters of each part percent-encoded (@ is %40, / is "
    "%2F), or keyword=value pairs, with values that hold spaces in single quotes.";

Error config_error(const PostgresOptions& options, const std::string& reason) {
  return Error{.code = ErrorCode::kConfig,
               .message = "cannot use the connection string in " + options.connection_source() + ": " + reason,
               .hint = std::string(kSyntaxHint),
               .sqlstate = {}};
}

Parameters to_map(const PQconninfoOption* list) {
  Parameters parameters;
  for (const PQconninfoOption* option = list; option != nullptr && option->keyword != nullptr; ++option) {
    if (option->val != nullptr && option->val[0] != '\0') {
      parameters.emplace(option->keyword, option->val);
    }
  }
  return parameters;
}

// Whether the text between two quotes is one of libpq's keywords and thus no secret.
bool is_keyword(std::string_view text) {
  const OptionList all(PQconndefaults(), &PQconninfoFree);
  for (const PQconninfoOption* option = all.get(); option != nullptr && option->keyword != nullptr; ++option) {
    if (text == option->keyword) {
      return true;
    }
  }
  return false;
}

// libpq's "invalid port number: \"secret\"" without what it quotes.
std::string without_quoted_values(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto open = text.find('"');
    const auto close = open == std::string_view::npos ? open : text.find('"', open + 1);
    if (close == std::string_view::npos) {
      break;
    }
    const auto quoted = text.substr(open + 1, close - open - 1);
    out.append(text.substr(0, open + 1)).append(is_keyword(quoted) ? quoted : "...").append("\"");
    text.remove_prefix(close + 1);
  }
  return out.append(text.substr(0, text.find('"')));
}

Result<Parameters> parse(const PostgresOptions& options) {
  char* raw_message = nullptr;
  const OptionList list(PQconninfoParse(options.conninfo.c_str(), &raw_message), &PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> message(raw_message, &PQfreemem);
  if (list == nullptr) {
    return std::unexpected(config_error(options, "it is malformed"));
  }
  return to_map(list.get());
}

// What libpq makes of the parameters, its environment variables and the service file together. PQconndefaults() knows nothing
// of a service that the string names, so a connection is set up as far as the check of a value that is always refused:
// libpq merges first, checks then, and only afterwards resolves and connects. (gssencmode is overridden anyway.)
Result<Parameters> merge_defaults(const PostgresOptions& options, const Parameters& parsed) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : parsed) {
    if (keyword != "gssencmode") {
      keywords.push_back(keyword.c_str());
      values.push_back(value.c_str());
    }
  }
  keywords.insert(keywords.end(), {"gssencmode", nullptr});
  values.insert(values.end(), {kRefusedValue, nullptr});
  const std::unique_ptr<PGconn, decltype(&PQfinish)> refused(PQconnectStartParams(keywords.data(), values.data(), 0),
                                                             &PQfinish);
  const std::string reason = one_line(PQerrorMessage(refused.get()));
  if (!reason.contains("gssencmode")) {
    return std::unexpected(connection_string_error(options, reason));
  }
  const OptionList merged(PQconninfo(refused.get()), &PQconninfoFree);
  return to_map(merged.get());
}

std::vector<std::string> split_list(std::string_view list) {
  std::vector<std::string> items;
  for (auto comma = list.find(','); comma != std::string_view::npos; comma = list.find(',')) {
    items.emplace_back(list.substr(0, comma));
    list.remove_prefix(comma + 1);
  }
  items.emplace_back(list);
  return items;
}

// libpq has checked that the lists have the same length; one port alone holds for all.
std::vector<ServerAddress> take_servers(Parameters& parameters) {
  const auto hosts = split_list(parameters["host"]);
  const auto hostaddrs = split_list(parameters["hostaddr"]);
  const auto ports = split_list(parameters["port"]);
  std::vector<ServerAddress> servers(std::max(hosts.size(), hostaddrs.size()));
  for (std::size_t i = 0; i < servers.size(); ++i) {
    servers[i].host = i < hosts.size() ? hosts[i] : "";
    servers[i].hostaddr = i < hostaddrs.size() ? hostaddrs[i] : "";
    servers[i].port = i < ports.size() ? ports[i] : ports.front();
  }
  for (const char* keyword : {"host", "hostaddr", "port", "service"}) {
    parameters.erase(keyword);
  }
  return servers;
}

// An unescaped '@' or '/' in the password of a URI parses, and puts the rest of the password where it would be printed.
bool password_spilled(const PostgresOptions& options, const Parameters& parsed) {
  const auto holds_at = [&parsed](const char* keyword) {
    const auto found = parsed.find(keyword);
    return found != parsed.end() && found->second.find('@', 1) != std::string::npos;
  };
  const bool is_uri = options.conninfo.starts_with("postgres://") || options.conninfo.starts_with("postgresql://");
  return is_uri && (holds_at("host") || holds_at("dbname"));
}

// In the string, the environment or the service file. A service that says what libpq would do anyway counts as one that says
// nothing: libpq does not tell the two apart.
bool is_mode_spelled_out(const Parameters& parsed, const Parameters& merged) {
  static constexpr std::string_view kLibpqDefault = "prefer";
  const auto mode = merged.find("sslmode");
  return parsed.contains("sslmode") || std::getenv("PGSSLMODE") != nullptr ||
         (mode != merged.end() && mode->second != kLibpqDefault);
}

void add_session_parameters(Parameters& parameters, const PostgresOptions& options, ConnectionMode mode) {
  parameters["client_encoding"] = "UTF8";  // Connection::open() changes it for an SQL_ASCII database
  parameters["gssencmode"] = "disable";    // nothing tells how much a GSS layer has buffered
  parameters["fallback_application_name"] = "outboxx";
  parameters.erase("connect_timeout");  // ours, over all servers
  parameters.erase("replication");
  if (mode == ConnectionMode::kReplication) {
    parameters["replication"] = "database";
  }
  // A peer that vanished is noticed within half a minute. emplace: the user's own win.
  parameters.emplace("keepalives_idle", "10");
  parameters.emplace("keepalives_interval", "5");
  parameters.emplace("keepalives_count", "3");
  parameters.emplace("tcp_user_timeout", "20000");

  // Settings of the start-up packet win over those of the role and the database; of two with one name the last wins.
  std::string& settings = parameters["options"];
  settings +=
      " -c datestyle=ISO -c intervalstyle=postgres -c bytea_output=hex -c extra_float_digits=3"
      " -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0"
      " -c client_min_messages=warning";  // of rows that are being skipped, PostgreSQL 18 only warns
  if (options.pin_time_zone) {
    settings += " -c timezone=UTC";
  }
  if (mode == ConnectionMode::kSql) {
    settings += " -c search_path=pg_catalog";
  }
}

}  // namespace

Result<Conninfo> read_conninfo(const PostgresOptions& configured, ConnectionMode mode) {
  PostgresOptions options = configured;
  if (!options.connection_file.empty()) {
    auto text = read_secret_file(options.connection_file);
    if (!text) {
      return fail_with_context("source.postgres.connection_file \"" + options.connection_file + "\"", std::move(text).error());
    }
    options.conninfo = *std::move(text);
  }
  const Parameters parsed = TRY(parse(options));
  if (password_spilled(options, parsed)) {
    return std::unexpected(config_error(options, "it holds an unescaped \"@\""));
  }
  Conninfo conninfo{.parameters = TRY(merge_defaults(options, parsed)), .servers = {}};
  conninfo.servers = take_servers(conninfo.parameters);
  TRY(apply_tls_policy(conninfo, is_mode_spelled_out(parsed, conninfo.parameters), options));
  add_session_parameters(conninfo.parameters, options, mode);
  return conninfo;
}

Error connection_string_error(const PostgresOptions& options, std::string_view libpq_text) {
  return config_error(options, without_quoted_values(one_line(libpq_text)));
}

}  // namespace outboxx
