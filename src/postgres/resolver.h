// Name resolution that does not block: libpq calls getaddrinfo(3) inside PQconnectStart(), which may take half a minute.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"

namespace outboxx {

// Whether host needs no lookup: empty, a socket path ('/' or, abstract, '@') or the text of an IP address.
[[nodiscard]] bool is_address_or_path(const std::string& host);

// The numeric addresses of host, in the order of getaddrinfo(3), without repetition and never empty.
// kPostgresUnreachable: it does not resolve, or not before the deadline; kInterrupted.
[[nodiscard]] Result<std::vector<std::string>> resolve_host(const std::string& host, TimePoint deadline, StopSignal stop);

}  // namespace outboxx
