// Which server we talk to, and how it relates to the one that a state record names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/lsn.h"
#include "base/wait.h"
#include "postgres/connection.h"
#include "postgres/server_state.h"

namespace outboxx {

[[nodiscard]] Result<ServerIdentity> read_identity(Connection& replication, StopSignal stop);

// Where the server's history left a timeline of the past; nothing if that one is not in it. replication stays usable.
[[nodiscard]] Result<std::optional<Lsn>> read_switch_point(Connection& replication, std::uint32_t server_timeline,
                                                           std::uint32_t left_timeline, StopSignal stop);

// Of a timeline history file: lines "TIMELINE \t LSN \t reason". Pure.
[[nodiscard]] std::optional<Lsn> find_switch_point(std::string_view history, std::uint32_t left_timeline);

// 0: there is no such publication.
[[nodiscard]] Result<std::uint32_t> read_publication_oid(Connection& sql, const std::string& name, StopSignal stop);

}  // namespace outboxx
