// Preflight: says before anything starts what the server lacks, where, and the SQL that mends it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"

namespace outboxx {

struct Check {
  enum class Status : std::uint8_t {
    kPassed,
    kWarned,  // works, and an operator should know
    kFailed,  // must not be started
  };

  std::string name;  // "wal_level", "table public.orders", ...
  Status status = Status::kPassed;
  ErrorCode code = ErrorCode::kPostgresMisconfigured;  // of a failed check
  std::string message;                                 // one line, lower case
  std::string hint;                                    // full sentences, the SQL or the config key
};

[[nodiscard]] Check passed_check(std::string name, std::string message);
[[nodiscard]] Check warned_check(std::string name, std::string message, std::string hint);
[[nodiscard]] Check failed_check(std::string name, std::string message, std::string hint);

// Read-only. sql is an ordinary connection; call it before the replication connection is opened, which would count as one of
// the server's WAL senders. A check that cannot be made because the connection broke (or the operator stopped us) is a failed
// check with that code, and the last one.
[[nodiscard]] std::vector<Check> check_postgres(Connection& sql, const PostgresOptions& options,
                                                std::span<const StreamConfig> streams, StopSignal stop);

// The failed check whose code counts; nullptr if none failed. An interruption wins: what was not looked at may be worse. Then
// the first that does not pass by itself.
[[nodiscard]] const Check* decisive_failure(std::span<const Check> checks);

// One error for all failed checks, with the code of the decisive one; logs the warnings, at the level given.
[[nodiscard]] Result<> require(std::span<const Check> checks, log::Level warnings = log::Level::kWarn);

}  // namespace outboxx
