// The connection string: parsed, merged with libpq's defaults (environment, service file) and with what a session of ours
// needs, and taken apart into the servers to try.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "postgres/connection.h"
#include "postgres/options.h"

namespace outboxx {

// One entry of libpq's lists host, hostaddr and port. hostaddr may be empty; host is kept for the TLS verification.
struct ServerAddress {
  std::string host;
  std::string hostaddr;
  std::string port;

  friend bool operator==(const ServerAddress&, const ServerAddress&) = default;
};

struct Conninfo {
  std::map<std::string, std::string> parameters;  // secret: holds the password. All but host, hostaddr and port
  std::vector<ServerAddress> servers;             // at least one, in the order to try
};

// Reads connection_file if there is one. Errors are kConfig and name the environment variable or file, the keyword at most,
// and never a value: in a malformed string any part may be a piece of the password, and libpq's texts quote it. A server that
// is not local needs TLS (tls_policy.h). Touches no network.
[[nodiscard]] Result<Conninfo> read_conninfo(const PostgresOptions& options, ConnectionMode mode);

// The kConfig error for what libpq says about the connection string, without what it quotes.
[[nodiscard]] Error connection_string_error(const PostgresOptions& options, std::string_view libpq_text);

}  // namespace outboxx
