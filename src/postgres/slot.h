// The replication slot: our resume point, kept by the server. It is created once and never recreated silently.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "base/wait.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/server_state.h"

namespace outboxx {

// Who streams from the slot. Fields are empty if we may not see them.
struct SlotHolder {
  int pid = 0;
  std::string application_name;
  std::string client_address;
  std::string connected_since;
};

// Nothing if there is no slot of that name.
[[nodiscard]] Result<std::optional<SlotState>> read_slot(Connection& sql, const std::string& name, StopSignal stop);

// The two halves of read_slot(), for a caller that does not wait: the query has one parameter, the name.
[[nodiscard]] std::string slot_query(int server_version);
[[nodiscard]] std::optional<SlotState> parse_slot(const QueryResult& result);

enum class MissingSlot : std::uint8_t {
  kCreate,
  kRefuse,  // we have streamed from it: what was written since it vanished would be passed by
};

struct EnsuredSlot {
  SlotState state;
  bool created = false;           // then state.confirmed_flush_lsn is the consistent point
  std::string exported_snapshot;  // if it was created and asked for: what the server shows just before that point
};

struct NewSlot {
  std::string name;
  bool is_temporary = false;      // dropped with the connection
  bool exports_snapshot = false;  // it can be imported until the connection's next command
};

struct CreatedSlot {
  Lsn consistent_point;
  std::string snapshot;  // its name, if it was asked for
};

// Creates it over the replication connection. Waits for the transactions that are open now: without a limit but the operator's
// stop, naming them every 5 s. After a stop the half-created slot is gone. replication is unusable after an error.
[[nodiscard]] Result<CreatedSlot> create_slot(Connection& replication, Connection& sql, const NewSlot& slot, StopSignal stop);

// The oldest transactions that a new slot has to wait for, with who has them; empty: none that has been open for so long, as
// far as we may see.
[[nodiscard]] Result<std::string> read_old_transactions(Connection& sql, std::chrono::seconds at_least, StopSignal stop);

// Uses the slot if it exists and fits (as check_slot()), else creates it, as create_slot(). The publication must exist already.
[[nodiscard]] Result<EnsuredSlot> ensure_slot(Connection& replication, Connection& sql, const NewSlot& wanted,
                                              MissingSlot if_missing, StopSignal stop);

// kSlot if it does not exist or somebody streams from it.
[[nodiscard]] Result<> drop_slot(Connection& sql, const std::string& name, StopSignal stop);

// Nothing if the slot is not active or does not exist.
[[nodiscard]] Result<std::optional<SlotHolder>> read_holder(Connection& sql, const std::string& name, StopSignal stop);

// "PID 4711 (application_name \"outboxx\", client 10.0.0.7, connected since ...)".
[[nodiscard]] std::string describe(const SlotHolder& holder);

// Looks at least every 2 s until nobody streams from the slot; who takes over must do so soon. Log lines name the holder: at
// first, when it is another one, and again after 1, 2, 4 ... s, up to 10 min. kPostgresUnreachable when the deadline passes;
// without one it waits until the stop.
[[nodiscard]] Result<> wait_until_inactive(Connection& sql, const std::string& name, std::optional<TimePoint> deadline,
                                           StopSignal stop);

// A session of the server's. Process ids come again; with the time of its start one is unique.
struct SessionId {
  std::string pid;
  std::string started;
};

// Of the connection itself.
[[nodiscard]] Result<SessionId> read_session_id(Connection& connection, StopSignal stop);

// Ends session if it still streams from the slot: ours of before, of which the server has not noticed yet that we left it.
// That saves the rest of wal_sender_timeout.
[[nodiscard]] Result<> end_left_session(Connection& sql, const std::string& name, const SessionId& session, StopSignal stop);

}  // namespace outboxx
