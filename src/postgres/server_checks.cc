#include "postgres/server_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/preflight.h"
#include "postgres/publication.h"
#include "postgres/slot.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

constexpr int kOldestVersion = 140000;
constexpr int kStandbyDecodingVersion = 160000;

bool equal_without_case(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

Check check_wal_level(const ServerState& server) {
  if (server.wal_level == "logical") {
    return passed_check("wal_level", "wal_level is logical");
  }
  return failed_check("wal_level", fmt::format("wal_level is {}, must be logical", server.wal_level),
                      server.is_rds ? "Set rds.logical_replication = 1 in the parameter group and restart the instance."
                                    : "Run: ALTER SYSTEM SET wal_level = 'logical'; Then restart the server.");
}

Check check_standby(const ServerState& server) {
  if (!server.is_standby) {
    return passed_check("primary", "the server is a primary");
  }
  if (server.version < kStandbyDecodingVersion) {
    return failed_check("primary", "the server is a standby: it cannot decode before PostgreSQL 16",
                        "Connect to the primary, for example with target_session_attrs=read-write in the connection string.");
  }
  return warned_check("primary", "the server is a standby: changes arrive after it has replayed them",
                      "Set hot_standby_feedback = on here, or the primary's vacuum may invalidate the slot.");
}

Check check_role(const ServerState& server) {
  if (server.is_superuser || server.has_replication || server.is_rds_member) {
    return passed_check("role", fmt::format("role \"{}\" may replicate", server.role));
  }
  const std::string role = quote_sql_identifier(server.role);
  return failed_check("role", fmt::format("role \"{}\" may not replicate: it has no REPLICATION attribute", server.role),
                      server.is_rds ? fmt::format("Run: GRANT rds_replication TO {};", role)
                                    : fmt::format("As a superuser, run: ALTER ROLE {} REPLICATION;", role));
}

Check check_encoding(const ServerState& server) {
  if (server.encoding != "SQL_ASCII") {
    return passed_check("server_encoding", fmt::format("server_encoding is {}", server.encoding));
  }
  return warned_check(
      "server_encoding", "server_encoding is SQL_ASCII: the server does not know what its bytes mean",
      "Bytes that are not UTF-8 are replaced in the messages and counted in outboxx_invalid_utf8_values_total.");
}

Check check_synchronous_commit(const ServerState& server) {
  if (server.synchronous_commit != "off") {
    return passed_check("synchronous_commit", fmt::format("synchronous_commit is {}", server.synchronous_commit));
  }
  return warned_check(
      "synchronous_commit",
      "synchronous_commit is off: changes reach us when the WAL writer has written them, some 200 ms after the commit",
      "If that is too late, run: ALTER SYSTEM RESET synchronous_commit; SELECT pg_reload_conf();");
}

Check check_synchronous_standby(const ServerState& server) {
  if (!is_synchronous_standby(server.synchronous_standby_names, server.application_name)) {
    return passed_check("synchronous_standby_names", "commits of the application do not wait for us");
  }
  return warned_check(
      "synchronous_standby_names",
      fmt::format("synchronous_standby_names = '{}' matches our application_name \"{}\": commits of the application "
                  "may wait until Kafka has acknowledged them",
                  server.synchronous_standby_names, server.application_name),
      "List the standbys by name in synchronous_standby_names, or set application_name in the connection string to "
      "a name that is not listed.");
}

Check check_keep_size(const ServerState& server) {
  if (server.max_slot_wal_keep_size != "-1") {
    return passed_check(
        "max_slot_wal_keep_size",
        fmt::format("max_slot_wal_keep_size is {}: a slot that falls further behind is lost", server.max_slot_wal_keep_size));
  }
  return warned_check(
      "max_slot_wal_keep_size",
      "max_slot_wal_keep_size is not set: while the pipeline is stopped, the WAL grows until the server's disk is full",
      "Watch outboxx_slot_retained_bytes. A limit gives up the slot, and with it changes, to save the server: ALTER "
      "SYSTEM SET max_slot_wal_keep_size = '100GB'; SELECT pg_reload_conf();");
}

Check check_idle_timeout(const ServerState& server) {
  const std::string& timeout = server.idle_replication_slot_timeout;
  if (timeout.empty() || timeout == "0") {
    return passed_check("idle_replication_slot_timeout", "an idle slot is kept");
  }
  return warned_check(
      "idle_replication_slot_timeout",
      fmt::format("idle_replication_slot_timeout is {}: the slot is lost if the pipeline is stopped for longer", timeout),
      "Run: ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();");
}

}  // namespace

std::optional<std::string> foreign_server(std::string_view version_text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kForeignMarks = {{{"-YB-", "YugabyteDB"},
                                                                                           {"CockroachDB", "CockroachDB"},
                                                                                           {"Redshift", "Amazon Redshift"},
                                                                                           {"Greenplum", "Greenplum"},
                                                                                           {"Cloudberry", "Cloudberry"},
                                                                                           {"Materialize", "Materialize"},
                                                                                           {"openGauss", "openGauss"}}};
  for (const auto& [mark, name] : kForeignMarks) {
    if (version_text.contains(mark)) {
      return std::string(name);
    }
  }
  // EDB Postgres Advanced Server and the cloud vendors' builds are PostgreSQL's own code and say so.
  return version_text.starts_with("PostgreSQL ") || version_text.starts_with("EnterpriseDB ")
             ? std::nullopt
             : std::optional(std::string(version_text));
}

bool is_synchronous_standby(std::string_view standby_names, std::string_view application_name) {
  std::size_t at = 0;
  while (at < standby_names.size()) {
    const char character = standby_names[at];
    if (character == '"') {
      std::string name;
      for (++at; at < standby_names.size() && (standby_names[at] != '"' || standby_names.substr(at, 2) == "\"\""); ++at) {
        at += standby_names[at] == '"' ? 1 : 0;
        name += standby_names[at];
      }
      ++at;
      if (name == "*" || equal_without_case(name, application_name)) {
        return true;
      }
    } else if (std::string_view(" \t\n\r\f,()").contains(character)) {
      ++at;
    } else {
      const std::size_t end = std::min(standby_names.find_first_of(" \t\n\r\f,()\"", at), standby_names.size());
      const std::string_view name = standby_names.substr(at, end - at);
      if (name == "*" || equal_without_case(name, application_name)) {
        return true;
      }
      at = end;
    }
  }
  return false;
}

std::vector<Check> check_server(const ServerState& server) {
  if (const auto other = foreign_server(server.version_text)) {
    return {
        failed_check("server", fmt::format("the server is {}, not PostgreSQL", *other),
                     "Its replication slots and LSNs follow other rules, under which no promise about lost changes holds.")};
  }
  if (server.version < kOldestVersion) {
    return {failed_check("server",
                         fmt::format("the server's version is {}.{}, must be 14 or newer", server.version / 10000,
                                     server.version % 10000 / (server.version < 100000 ? 100 : 1)),
                         "Upgrade the server.")};
  }
  return {passed_check("server", fmt::format("PostgreSQL {}.{}", server.version / 10000, server.version % 10000)),
          check_wal_level(server),
          check_standby(server),
          check_role(server),
          check_encoding(server),
          check_synchronous_commit(server),
          check_synchronous_standby(server),
          check_keep_size(server),
          check_idle_timeout(server),
          passed_check("wal_sender_timeout", fmt::format("wal_sender_timeout is {}", server.wal_sender_timeout))};
}

std::vector<Check> check_capacity(const ServerState& server, const std::optional<SlotState>& slot) {
  std::vector<Check> checks;
  const auto add = [&checks](const char* setting, const char* what, std::int64_t used, std::int64_t limit) {
    if (used < limit) {
      checks.push_back(passed_check(setting, fmt::format("{} of {} {} are in use", used, limit, what)));
      return;
    }
    checks.push_back(
        failed_check(setting, fmt::format("all {} {} are in use", limit, what),
                     fmt::format("Free one, or run: ALTER SYSTEM SET {} = {}; Then restart the server.", setting, limit + 5)));
  };
  if (!slot) {
    add("max_replication_slots", "replication slots", server.slots_used, server.slots_max);
  }
  if (!slot || !slot->is_active) {
    add("max_wal_senders", "WAL senders", server.wal_senders_used, server.wal_senders_max);
    checks.back().code = ErrorCode::kPostgresUnreachable;  // a backup ends, as for connections
  }
  return checks;
}

Check check_existing_slot(const SlotState& slot, std::string_view name) {
  if (slot.is_being_created()) {
    return warned_check("slot", fmt::format("replication slot \"{}\" is being created by PID {}", name, slot.active_pid),
                        "It waits for transactions that are still open.");
  }
  if (auto fit = check_slot(slot, name); !fit) {
    Check check = failed_check("slot", std::move(fit.error().message), std::move(fit.error().hint));
    check.code = fit.error().code;
    return check;
  }
  if (slot.wal_status == "unreserved") {
    return warned_check(
        "slot",
        fmt::format("replication slot \"{}\" is about to be lost: the server may remove WAL that it needs at any "
                    "checkpoint",
                    name),
        "Start the pipeline at once, or raise max_slot_wal_keep_size: ALTER SYSTEM SET max_slot_wal_keep_size = -1; "
        "SELECT pg_reload_conf();");
  }
  return passed_check(
      "slot", fmt::format("replication slot \"{}\" exists{}: confirmed {}, {} bytes behind", name,
                          slot.is_active ? fmt::format(" and is in use by PID {}", slot.active_pid) : "",
                          to_string(slot.confirmed_flush_lsn), slot.current_wal_lsn.value - slot.confirmed_flush_lsn.value));
}

Check check_absent_publication(const ServerState& server, const PostgresOptions& options, const std::optional<SlotState>& slot,
                               std::span<const StreamConfig> streams, std::span<const TableState> tables) {
  for (const TableState& table : tables) {
    if (auto nesting = check_nesting(table, tables)) {
      return *std::move(nesting);
    }
  }
  const std::string& name = options.publication_name;
  const std::string statement = create_publication_statement(name, streams, tables) + ";";
  if (slot) {
    return failed_check(
        "publication",
        fmt::format("publication \"{}\" does not exist, but replication slot \"{}\" does: changes since {} cannot be "
                    "decoded for a publication that is younger",
                    name, options.slot_name, to_string(slot->confirmed_flush_lsn)),
        fmt::format(
            "If no table of the streams has changed since, run: {} If one has, drop the slot as well, and fill the gap "
            "from the tables: SELECT pg_drop_replication_slot('{}'); In both cases, start once with --accept-gap 'REASON'.",
            statement, options.slot_name));
  }
  if (options.publication_mode == PublicationMode::kExisting) {
    return failed_check("publication", fmt::format("publication \"{}\" does not exist", name),
                        fmt::format("Run: {}", statement));
  }
  if (server.is_standby) {
    return failed_check("publication",
                        fmt::format("publication \"{}\" does not exist and cannot be created on a standby", name),
                        fmt::format("On the primary, run: {}", statement));
  }
  std::string reasons = server.may_create_in_database || server.is_superuser
                            ? ""
                            : fmt::format("it lacks CREATE on database \"{}\"", server.database);
  for (const TableState& table : tables) {
    if (!table.is_owned) {
      reasons += fmt::format("{}table \"{}.{}\" belongs to \"{}\"", reasons.empty() ? "" : ", ", table.schema, table.table,
                             table.owner);
    }
  }
  if (!reasons.empty()) {
    return failed_check("publication",
                        fmt::format("role \"{}\" may not create publication \"{}\": {}", server.role, name, reasons),
                        fmt::format("As the tables' owner or a superuser, run: {} It is then used as it is.", statement));
  }
  return passed_check("publication", fmt::format("publication \"{}\" will be created: {}", name, statement));
}

}  // namespace outboxx
