#include "postgres/server_state.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/lsn.h"

namespace outboxx {
namespace {

std::int64_t distance(Lsn from, Lsn to) {
  return from != Lsn{} && to > from ? static_cast<std::int64_t>(to.value - from.value) : 0;
}

std::string drop_statement(std::string_view name) {
  return fmt::format("SELECT pg_drop_replication_slot('{}');", name);
}

Result<> fail_lost(const SlotState& slot, std::string_view name) {
  const std::string reason = slot.invalidation_reason.empty() ? "" : fmt::format(" ({})", slot.invalidation_reason);
  return fail(
      ErrorCode::kSlotLost,
      fmt::format("replication slot \"{}\" is lost{}: the server removed WAL that it needs; changes after {} were not "
                  "streamed and cannot be",
                  name, reason, to_string(slot.confirmed_flush_lsn)),
      fmt::format("To go on with a gap, drop the slot: {} Then start once with --accept-gap 'REASON'. The new slot begins "
                  "at the present, so fill the gap from the tables. To prevent it, see max_slot_wal_keep_size, "
                  "idle_replication_slot_timeout (PostgreSQL 18) and the metric outboxx_slot_safe_bytes.",
                  drop_statement(name)));
}

}  // namespace

std::int64_t SlotState::unconfirmed_size() const {
  return distance(confirmed_flush_lsn, current_wal_lsn);
}

std::int64_t SlotState::retained_size() const {
  return is_lost() ? 0 : distance(restart_lsn, current_wal_lsn);
}

std::optional<std::int64_t> SlotState::writable_size() const {
  return is_lost() ? 0 : safe_wal_size;
}

Result<> check_slot(const SlotState& slot, std::string_view name) {
  const auto refuse = [&](const std::string& problem) {
    return fail(ErrorCode::kSlot, fmt::format("replication slot \"{}\" {}", name, problem),
                fmt::format("Choose another slot_name, or, if nobody needs the slot, drop it: {}", drop_statement(name)));
  };
  if (slot.slot_type != "logical") {
    return refuse(fmt::format("is a {} slot, not a logical one", slot.slot_type));
  }
  if (slot.plugin != "pgoutput") {
    return refuse(fmt::format("uses the output plugin \"{}\", not pgoutput", slot.plugin));
  }
  if (slot.database != slot.current_database) {
    return refuse(fmt::format("belongs to database \"{}\", not \"{}\"", slot.database, slot.current_database));
  }
  if (slot.is_temporary) {
    return refuse("is temporary: it vanishes with its session");
  }
  if (slot.is_two_phase) {
    return refuse("has two_phase set: it sends prepared transactions before they commit");
  }
  if (slot.is_lost()) {
    return fail_lost(slot, name);
  }
  if (slot.confirmed_flush_lsn > slot.current_wal_lsn) {
    return fail(
        ErrorCode::kServerChanged,
        fmt::format("replication slot \"{}\" has confirmed {}, but the server's WAL ends at {}: it would skip everything "
                    "up to there",
                    name, to_string(slot.confirmed_flush_lsn), to_string(slot.current_wal_lsn)),
        fmt::format(
            "The server was restored from a backup or replaced, or another client confirmed a wrong position. "
            "Check that this is the right server. Then drop the slot: {} Start once with --accept-gap 'REASON', and fill "
            "the gap from the tables.",
            drop_statement(name)));
  }
  return {};
}

}  // namespace outboxx
