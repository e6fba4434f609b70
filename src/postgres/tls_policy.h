// Which servers may be talked to without TLS, or without knowing who they are: those on this machine, and others only if the
// operator says so. libpq's own default, sslmode=prefer, falls back to clear text and verifies nothing.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "postgres/connection.h"
#include "postgres/conninfo.h"
#include "postgres/options.h"
#include "postgres/preflight.h"

namespace outboxx {

// A unix socket, a loopback address or the name "localhost". The address wins over the name: that is what libpq connects to.
[[nodiscard]] bool is_local(const ServerAddress& server);

// The first server of the list that is not local while the sslmode (disable, allow or prefer) may leave it unencrypted.
[[nodiscard]] std::optional<std::string> find_unprotected_server(const Conninfo& conninfo);

// Without options.insecure, a list with a server that is not local gets sslmode=verify-full if nobody spelled a mode out, and
// is refused (kConfig) if the mode may leave it unencrypted. One mode holds for the whole list, so the whole list is judged.
[[nodiscard]] Result<> apply_tls_policy(Conninfo& conninfo, bool is_mode_spelled_out, const PostgresOptions& options);

// A warning if options.insecure let something through: for preflight, so that every start and every check says so.
[[nodiscard]] Check check_tls(const Conninfo& conninfo);

// A warning if the server's certificate expires soon: from that day on nobody who verifies it connects. Nothing without TLS.
[[nodiscard]] std::optional<Check> check_expiry(const Connection& connection);

}  // namespace outboxx
