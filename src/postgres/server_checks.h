// What preflight thinks of the server, our role, the slot and an absent publication. Pure: no connection.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/stream.h"
#include "postgres/options.h"
#include "postgres/preflight.h"
#include "postgres/publication.h"
#include "postgres/slot.h"
#include "postgres/table_state.h"

namespace outboxx {

// The server, and our role on it. Settings as current_setting() shows them.
struct ServerState {
  std::string version_text;  // version()
  int version = 0;           // 150020 for 15.20
  bool is_standby = false;
  std::string database;
  std::string encoding;
  std::string role;
  bool is_superuser = false;
  bool has_replication = false;
  bool is_rds = false;         // the role rds_replication exists
  bool is_rds_member = false;  // and we are a member
  bool may_create_in_database = false;
  std::string wal_level;
  std::int64_t slots_max = 0;
  std::int64_t slots_used = 0;
  std::int64_t wal_senders_max = 0;
  std::int64_t wal_senders_used = 0;
  std::string wal_sender_timeout;
  std::string synchronous_commit;
  std::string synchronous_standby_names;
  std::string application_name;
  std::string max_slot_wal_keep_size;
  std::string idle_replication_slot_timeout;  // PostgreSQL 18, else empty
};

// A server that only speaks PostgreSQL's protocol has other rules for LSNs and slots: its name, or nothing for PostgreSQL.
[[nodiscard]] std::optional<std::string> foreign_server(std::string_view version_text);

// Whether a session of this application_name counts as one of synchronous_standby_names (repl_scanner.l: names or * in a list,
// with or without FIRST n or ANY n, compared without case).
[[nodiscard]] bool is_synchronous_standby(std::string_view standby_names, std::string_view application_name);

// Identity and version first: if one of them failed, nothing else is in the list and no other question makes sense.
[[nodiscard]] std::vector<Check> check_server(const ServerState& server);

// What the server must have left for us: a slot, if ours does not exist yet, and a WAL sender, if nobody uses ours.
[[nodiscard]] std::vector<Check> check_capacity(const ServerState& server, const std::optional<SlotState>& slot);

[[nodiscard]] Check check_existing_slot(const SlotState& slot, std::string_view name);

// The publication does not exist: may we create it, and does it make sense?
[[nodiscard]] Check check_absent_publication(const ServerState& server, const PostgresOptions& options,
                                             const std::optional<SlotState>& slot, std::span<const StreamConfig> streams,
                                             std::span<const TableState> tables);

}  // namespace outboxx
