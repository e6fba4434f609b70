#include "postgres/slot.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/backoff.h"
#include "base/error.h"
#include "base/log.h"
#include "base/lsn.h"
#include "base/time.h"
#include "base/wait.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

constexpr std::string_view kDuplicateObject = "42710";
constexpr std::string_view kObjectInUse = "55006";
constexpr auto kReportInterval = std::chrono::seconds(5);
constexpr auto kCancelTimeout = std::chrono::seconds(2);
constexpr auto kFirstLook = std::chrono::milliseconds(200);
constexpr auto kLongestLook = std::chrono::seconds(2);
constexpr auto kFirstHolderReport = std::chrono::seconds(1);
constexpr auto kLongestHolderReport = std::chrono::minutes(10);

// Who holds a transaction id, oldest first, prepared transactions (without a pid) included. pg_locks, because every role may
// read it whole; the names from pg_stat_activity are null for other users' sessions unless we have pg_read_all_stats.
constexpr const char* kOldTransactionsQuery = R"(
select t.pid, coalesce(a.usename, p.owner), a.application_name, a.state, p.gid,
       floor(extract(epoch from clock_timestamp() - coalesce(a.xact_start, p.prepared)))::bigint
  from (select distinct on (virtualtransaction) pid, transactionid
          from pg_catalog.pg_locks
         where locktype = 'transactionid' and mode = 'ExclusiveLock' and granted and pid is distinct from pg_backend_pid()
         order by virtualtransaction, age(transactionid) desc) t
  left join pg_catalog.pg_stat_activity a on a.pid = t.pid
  left join pg_catalog.pg_prepared_xacts p on t.pid is null and p.transaction = t.transactionid
 order by age(t.transactionid) desc limit 3)";

template <typename T>
std::optional<T> to_number(std::optional<std::string_view> text) {
  T number = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), number).ec != std::errc()) {
    return std::nullopt;
  }
  return number;
}

Lsn to_lsn(std::optional<std::string_view> text) {
  return text ? parse_lsn(*text).value_or(Lsn{}) : Lsn{};
}

std::string describe_transaction(const QueryResult& result, int row) {
  std::string out = result.value(row, 4) ? fmt::format("prepared transaction \"{}\"", result.text(row, 4))
                                         : fmt::format("PID {}", result.text(row, 0));
  if (result.value(row, 1)) {
    out += fmt::format(" of user \"{}\"", result.text(row, 1));
  }
  if (!result.text(row, 2).empty()) {
    out += fmt::format(", application_name \"{}\"", result.text(row, 2));
  }
  if (!result.text(row, 3).empty()) {
    out += fmt::format(", {}", result.text(row, 3));
  }
  if (result.value(row, 5)) {
    out += fmt::format(", open for {} s", result.text(row, 5));
  }
  return out;
}

Result<> report_old_transactions(Connection& sql, const std::string& name, StopSignal stop) {
  const std::string holders = TRY(read_old_transactions(sql, std::chrono::seconds(0), stop));
  log::info(
      fmt::format("waiting to create replication slot \"{}\": the server waits for transactions that are still open", name),
      {{"oldest",
        holders.empty() ? "none visible; on a standby, run SELECT pg_log_standby_snapshot() on the primary" : holders}});
  return {};
}

// A session that waits for another transaction does not notice that its client went away: without the cancel, the half-created
// slot would stay until that transaction ends. Errors change nothing: we are stopping.
void cancel_creation(Connection& replication, Connection& sql) {
  const auto canceled = sql.query("select pg_cancel_backend($1::int)", {std::to_string(replication.backend_pid())},
                                  Clock::now() + kCancelTimeout, {});
  const TimePoint deadline = Clock::now() + kCancelTimeout;
  while (canceled && Clock::now() < deadline) {
    const auto answer = replication.take_result();
    if (!answer || *answer || !wait_for(replication.fd(), POLLIN, deadline, {})) {
      return;
    }
  }
}

Result<QueryResult> await_creation(Connection& replication, Connection& sql, const std::string& name, StopSignal stop) {
  TimePoint next_report = Clock::now() + kReportInterval;
  while (true) {
    if (auto result = TRY(replication.take_result())) {
      return *std::move(result);
    }
    if (TRY(wait_for(replication.fd(), POLLIN, next_report, stop)) == WaitResult::kTimedOut) {
      TRY(report_old_transactions(sql, name, stop));
      next_report = Clock::now() + kReportInterval;
    }
  }
}

std::string creation_statement(const Connection& replication, const NewSlot& slot) {
  const bool has_list = replication.server_version() >= 150000;
  const char* const old_option = slot.exports_snapshot ? "EXPORT_SNAPSHOT" : "NOEXPORT_SNAPSHOT";
  const char* const option = slot.exports_snapshot ? "(SNAPSHOT 'export')" : "(SNAPSHOT 'nothing')";
  return fmt::format("CREATE_REPLICATION_SLOT {}{} LOGICAL pgoutput {}", replication.quote_identifier(slot.name),
                     slot.is_temporary ? " TEMPORARY" : "", has_list ? option : old_option);
}

std::unexpected<Error> fail_missing(std::string_view name) {
  return fail(
      ErrorCode::kSlot,
      fmt::format("replication slot \"{}\" does not exist any more: what was written since it vanished cannot be streamed",
                  name),
      "It was dropped, or this server took over from the one that had it. Make sure that this is the right server. To "
      "go on with a gap, start outboxx again: it creates a new slot, which begins at the present. Then fill the gap "
      "from the tables.");
}

Result<> fail_active(std::string_view name, const std::optional<SlotHolder>& holder) {
  return fail(ErrorCode::kSlot,
              fmt::format("cannot drop replication slot \"{}\": it is active for {}", name,
                          holder ? describe(*holder) : "another session"),
              "Stop the pipeline that streams from it first.");
}

}  // namespace

Result<std::optional<SlotState>> read_slot(Connection& sql, const std::string& name, StopSignal stop) {
  return parse_slot(TRY(sql.query(slot_query(sql.server_version()), {name}, catalog_deadline(), stop)));
}

std::string slot_query(int server_version) {
  return fmt::format(
      "select plugin, slot_type, database, current_database(), temporary, active, active_pid, confirmed_flush_lsn, "
      "restart_lsn, "
      "wal_status, safe_wal_size, two_phase, "
      "case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, {} "
      "from pg_catalog.pg_replication_slots where slot_name = $1",
      server_version >= 170000 ? "invalidation_reason" : "null");
}

std::optional<SlotState> parse_slot(const QueryResult& result) {
  if (result.rows() == 0) {
    return std::nullopt;
  }
  return SlotState{.plugin = result.text(0, 0),
                   .slot_type = result.text(0, 1),
                   .database = result.text(0, 2),
                   .current_database = result.text(0, 3),
                   .is_temporary = result.value(0, 4) == "t",
                   .is_active = result.value(0, 5) == "t",
                   .active_pid = to_number<int>(result.value(0, 6)).value_or(0),
                   .confirmed_flush_lsn = to_lsn(result.value(0, 7)),
                   .restart_lsn = to_lsn(result.value(0, 8)),
                   .wal_status = result.text(0, 9),
                   .safe_wal_size = to_number<std::int64_t>(result.value(0, 10)),
                   .invalidation_reason = result.text(0, 13),
                   .is_two_phase = result.value(0, 11) == "t",
                   .current_wal_lsn = to_lsn(result.value(0, 12))};
}

Result<std::string> read_old_transactions(Connection& sql, std::chrono::seconds at_least, StopSignal stop) {
  const QueryResult result = TRY(sql.query(kOldTransactionsQuery, {}, catalog_deadline(), stop));
  std::string holders;
  for (int row = 0; row < result.rows(); ++row) {
    if (at_least.count() == 0 || result.number<std::int64_t>(row, 5) >= at_least.count()) {
      holders += (holders.empty() ? "" : "; ") + describe_transaction(result, row);
    }
  }
  return holders;
}

Result<CreatedSlot> create_slot(Connection& replication, Connection& sql, const NewSlot& slot, StopSignal stop) {
  TRY(replication.start_query(creation_statement(replication, slot), {}));
  auto created = await_creation(replication, sql, slot.name, stop);
  if (!created) {
    if (created.error().code == ErrorCode::kInterrupted) {
      cancel_creation(replication, sql);
    }
    return std::unexpected(std::move(created).error());
  }
  return CreatedSlot{.consistent_point = to_lsn(created->value(0, 1)), .snapshot = created->text(0, 2)};
}

Result<EnsuredSlot> ensure_slot(Connection& replication, Connection& sql, const NewSlot& wanted, MissingSlot if_missing,
                                StopSignal stop) {
  const std::string& name = wanted.name;
  std::optional<CreatedSlot> created;
  while (true) {
    const auto slot = TRY(read_slot(sql, name, stop));
    if (slot && !slot->is_being_created()) {
      TRY(check_slot(*slot, name));
      if (created) {
        log::info(fmt::format("created replication slot \"{}\": changes committed before {} are not streamed", name,
                              to_string(slot->confirmed_flush_lsn)),
                  {{"slot", name}, {"consistent_point", slot->confirmed_flush_lsn}});
      }
      return EnsuredSlot{.state = *slot,
                         .created = created.has_value(),
                         .exported_snapshot = created ? std::move(created->snapshot) : std::string()};
    }
    if (slot) {  // by another instance, or by a session that a killed instance left behind
      TRY(wait_until_inactive(sql, name, std::nullopt, stop));
      continue;
    }
    if (if_missing == MissingSlot::kRefuse) {
      return fail_missing(name);
    }
    auto result = create_slot(replication, sql, wanted, stop);
    if (!result && result.error().sqlstate != kDuplicateObject) {
      return fail_with_context(fmt::format("could not create replication slot \"{}\"", name), std::move(result).error());
    }
    created = result ? std::optional(*std::move(result)) : std::nullopt;
  }
}

Result<> drop_slot(Connection& sql, const std::string& name, StopSignal stop) {
  const auto slot = TRY(read_slot(sql, name, stop));
  if (!slot) {
    return fail(ErrorCode::kSlot, fmt::format("replication slot \"{}\" does not exist", name));
  }
  if (slot->is_active) {
    return fail_active(name, TRY(read_holder(sql, name, stop)));
  }
  auto dropped = sql.query("select pg_drop_replication_slot($1)", {name}, catalog_deadline(), stop);
  if (dropped) {
    log::info("dropped replication slot", {{"slot", name}, {"confirmed_flush_lsn", slot->confirmed_flush_lsn}});
    return {};
  }
  if (dropped.error().sqlstate == kObjectInUse) {  // somebody came between
    return fail_active(name, TRY(read_holder(sql, name, stop)));
  }
  return fail_with_context(fmt::format("could not drop replication slot \"{}\"", name), std::move(dropped).error());
}

Result<std::optional<SlotHolder>> read_holder(Connection& sql, const std::string& name, StopSignal stop) {
  const QueryResult result =
      TRY(sql.query("select s.active_pid, a.application_name, coalesce(host(a.client_addr), case when a.pid is not null then "
                    "'local' end), date_trunc('second', a.backend_start) "
                    "from pg_catalog.pg_replication_slots s left join pg_catalog.pg_stat_activity a on a.pid = s.active_pid "
                    "where s.slot_name = $1 and s.active",
                    {name}, catalog_deadline(), stop));
  if (result.rows() == 0) {
    return std::nullopt;
  }
  return SlotHolder{.pid = to_number<int>(result.value(0, 0)).value_or(0),
                    .application_name = result.text(0, 1),
                    .client_address = result.text(0, 2),
                    .connected_since = result.text(0, 3)};
}

std::string describe(const SlotHolder& holder) {
  std::string details;
  const auto add = [&details](std::string_view text) { details.append(details.empty() ? "" : ", ").append(text); };
  if (!holder.application_name.empty()) {
    add(fmt::format("application_name \"{}\"", holder.application_name));
  }
  if (!holder.client_address.empty()) {
    add(fmt::format("client {}", holder.client_address));
  }
  if (!holder.connected_since.empty()) {
    add(fmt::format("connected since {}", holder.connected_since));
  }
  return details.empty() ? fmt::format("PID {}", holder.pid) : fmt::format("PID {} ({})", holder.pid, details);
}

Result<> wait_until_inactive(Connection& sql, const std::string& name, std::optional<TimePoint> deadline, StopSignal stop) {
  Backoff looks(kFirstLook, kLongestLook);
  Backoff reports(kFirstHolderReport, kLongestHolderReport);
  TimePoint next_report = Clock::now();
  int reported_pid = 0;
  while (const auto holder = TRY(read_holder(sql, name, stop))) {
    const TimePoint now = Clock::now();
    if (deadline && now >= *deadline) {
      return fail(ErrorCode::kPostgresUnreachable,
                  fmt::format("replication slot \"{}\" is still active for {}", name, describe(*holder)),
                  "Stop the other process, or end its session with pg_terminate_backend().");
    }
    if (now >= next_report || holder->pid != reported_pid) {
      const auto pause = reports.next();
      log::info(fmt::format("waiting for replication slot \"{}\": it is active for {}", name, describe(*holder)),
                {{"slot", name}, {"next_report_seconds", std::chrono::ceil<std::chrono::seconds>(pause).count()}});
      next_report = now + pause;
      reported_pid = holder->pid;
    }
    const TimePoint wake = now + looks.next();
    TRY(wait_for(-1, 0, deadline ? std::min(wake, *deadline) : wake, stop));
  }
  return {};
}

Result<SessionId> read_session_id(Connection& connection, StopSignal stop) {
  // Without parameters: it may be a walsender's.
  const QueryResult result =
      TRY(connection.query("select pid, extract(epoch from backend_start) from pg_catalog.pg_stat_activity where pid = "
                           "pg_catalog.pg_backend_pid()",
                           {}, catalog_deadline(), stop));
  return result.rows() == 0 ? SessionId{} : SessionId{.pid = result.text(0, 0), .started = result.text(0, 1)};
}

Result<> end_left_session(Connection& sql, const std::string& name, const SessionId& session, StopSignal stop) {
  const auto result =
      TRY(sql.query("select pg_terminate_backend(a.pid) from pg_catalog.pg_replication_slots s "
                    "join pg_catalog.pg_stat_activity a on a.pid = s.active_pid where s.slot_name = $1 "
                    "and a.pid::text = $2 and extract(epoch from a.backend_start)::text = $3",
                    {name, session.pid, session.started}, catalog_deadline(), stop));
  if (result.rows() > 0) {
    log::info("ended our former session, which the server still kept", {{"slot", name}, {"pid", session.pid}});
  }
  return {};
}

}  // namespace outboxx
