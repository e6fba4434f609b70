// What a start looks at on the server: who it is, and how the slot stands. Values without libpq.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/lsn.h"

namespace outboxx {

// Of IDENTIFY_SYSTEM, as seen by the session that is going to stream.
struct ServerIdentity {
  std::string system_identifier;
  std::uint32_t timeline = 0;
  std::uint32_t server_version = 0;  // 150020 for 15.20
  std::string database;
  Lsn wal_position;  // the end of the WAL that it would send: on a standby, what it has replayed

  friend bool operator==(const ServerIdentity&, const ServerIdentity&) = default;
};

// One row of pg_replication_slots, and the server's own position at that moment.
struct SlotState {
  std::string plugin;
  std::string slot_type;         // "logical" or "physical"
  std::string database;          // whose changes it decodes
  std::string current_database;  // where we asked
  bool is_temporary = false;
  bool is_active = false;
  int active_pid = 0;
  Lsn confirmed_flush_lsn;                    // 0 while the slot is being created
  Lsn restart_lsn;                            // 0 if the slot was invalidated
  std::string wal_status;                     // reserved, extended, unreserved, lost; empty while the slot is being created
  std::optional<std::int64_t> safe_wal_size;  // as the server has it: see writable_size()
  std::string invalidation_reason;            // PostgreSQL 17
  bool is_two_phase = false;
  Lsn current_wal_lsn;  // the end of the WAL; on a standby, what it has replayed

  // CREATE_REPLICATION_SLOT is still waiting for old transactions, in some session.
  [[nodiscard]] bool is_being_created() const { return is_active && slot_type == "logical" && confirmed_flush_lsn == Lsn{}; }
  // The server invalidated it, and keeps nothing for it any more.
  [[nodiscard]] bool is_lost() const { return wal_status == "lost" || !invalidation_reason.empty(); }

  // In bytes. Never below 0: the server reads its two positions one after the other, so the slot's can be a little ahead. 0
  // where the slot has none.
  [[nodiscard]] std::int64_t unconfirmed_size() const;
  [[nodiscard]] std::int64_t retained_size() const;
  // What may be written before the slot is lost, nothing: no limit. PostgreSQL has null for a lost one too.
  [[nodiscard]] std::optional<std::int64_t> writable_size() const;
};

// Whether the slot can serve us, whoever uses it now: pgoutput, logical, this database, permanent, not lost, and not ahead of
// the server's WAL. kSlot, kSlotLost or kServerChanged with the way out. Pure.
[[nodiscard]] Result<> check_slot(const SlotState& slot, std::string_view name);

}  // namespace outboxx
