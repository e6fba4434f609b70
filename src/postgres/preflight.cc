#include "postgres/preflight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/wait.h"
#include "model/stream.h"
#include "postgres/connection.h"
#include "postgres/conninfo.h"
#include "postgres/options.h"
#include "postgres/publication.h"
#include "postgres/server_checks.h"
#include "postgres/slot.h"
#include "postgres/table_checks.h"
#include "postgres/table_state.h"
#include "postgres/tls_policy.h"

namespace outboxx {
namespace {

// Settings with true as second argument are null where the server does not know them. session_user, because that is who the
// replication connection is.
constexpr const char* kServerQuery = R"(
select pg_is_in_recovery(), current_database(), current_setting('server_encoding'), session_user,
       r.rolsuper, r.rolreplication, rds.oid is not null, coalesce(pg_has_role(session_user, rds.oid, 'MEMBER'), false),
       has_database_privilege(current_database(), 'CREATE'),
       current_setting('wal_level'),
       current_setting('max_replication_slots'), (select count(*) from pg_catalog.pg_replication_slots),
       current_setting('max_wal_senders'), (select count(*) from pg_catalog.pg_stat_replication),
       current_setting('wal_sender_timeout'), current_setting('synchronous_commit'),
       current_setting('synchronous_standby_names'), current_setting('application_name'),
       current_setting('max_slot_wal_keep_size'), current_setting('idle_replication_slot_timeout', true)
  from pg_catalog.pg_roles r left join pg_catalog.pg_roles rds on rds.rolname = 'rds_replication'
 where r.rolname = session_user)";

std::int64_t to_number(std::string_view text) {
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Result<ServerState> read_server(Connection& sql, StopSignal stop) {
  const QueryResult version = TRY(sql.query("select version()", {}, catalog_deadline(), stop));
  ServerState server;
  server.version_text = version.text(0, 0);
  server.version = sql.server_version();
  if (check_server(server).size() == 1) {
    return server;  // refused by its identity or version alone; it may not understand the next question
  }
  const QueryResult result = TRY(sql.query(kServerQuery, {}, catalog_deadline(), stop));
  const auto flag = [&result](int column) { return result.value(0, column) == "t"; };
  server.is_standby = flag(0);
  server.database = result.text(0, 1);
  server.encoding = result.text(0, 2);
  server.role = result.text(0, 3);
  server.is_superuser = flag(4);
  server.has_replication = flag(5);
  server.is_rds = flag(6);
  server.is_rds_member = flag(7);
  server.may_create_in_database = flag(8);
  server.wal_level = result.text(0, 9);
  server.slots_max = to_number(result.text(0, 10));
  server.slots_used = to_number(result.text(0, 11));
  server.wal_senders_max = to_number(result.text(0, 12));
  server.wal_senders_used = to_number(result.text(0, 13));
  server.wal_sender_timeout = result.text(0, 14);
  server.synchronous_commit = result.text(0, 15);
  server.synchronous_standby_names = result.text(0, 16);
  server.application_name = result.text(0, 17);
  server.max_slot_wal_keep_size = result.text(0, 18);
  server.idle_replication_slot_timeout = result.text(0, 19);
  return server;
}

void append(std::vector<Check>& checks, std::vector<Check> more) {
  checks.insert(checks.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

PublishedOperations published_operations(const std::optional<Publication>& publication, const TableState& table,
                                         const OperationSet& wanted) {
  if (!publication) {
    return {.already = false, .updates = wanted.update, .deletes = wanted.remove};
  }
  return {.already = publication->for_all_tables || publication->find_table(table.schema, table.table) != nullptr,
          .updates = publication->publishes_update,
          .deletes = publication->publishes_delete};
}

// One SQL connection's answers, put together in the order in which an operator would ask.
class Preflight {
 public:
  Preflight(Connection& sql, const PostgresOptions& options, std::span<const StreamConfig> streams, StopSignal stop)
      : sql_(sql), options_(options), streams_(streams), stop_(stop) {}

  Result<> run(std::vector<Check>& checks) {
    const ServerState server = TRY(read_server(sql_, stop_));
    append(checks, check_server(server));
    if (checks.size() == 1) {
      return {};
    }
    checks.push_back(check_tls(TRY(read_conninfo(options_, ConnectionMode::kSql))));
    if (const auto expiry = check_expiry(sql_)) {
      checks.push_back(*expiry);
    }
    const auto slot = TRY(read_slot(sql_, options_.slot_name, stop_));
    append(checks, check_capacity(server, slot));
    if (slot) {
      checks.push_back(check_existing_slot(*slot, options_.slot_name));
    }
    const std::vector<TableState> tables = TRY(read_tables(sql_, streams_, stop_));
    const auto publication = TRY(read_publication(sql_, options_.publication_name, streams_, stop_));
    if (publication) {
      append(checks, check_publication(*publication, streams_, tables));
    } else {
      checks.push_back(check_absent_publication(server, options_, slot, streams_, tables));
    }
    for (const TableState& table : tables) {
      append(checks, check_table(table, published_operations(publication, table, operations_of(streams_))));
    }
    return check_streams(checks, tables, publication);
  }

 private:
  Result<> check_streams(std::vector<Check>& checks, std::span<const TableState> tables,
                         const std::optional<Publication>& publication) {
    for (const StreamConfig& stream : streams_) {
      const TableState* const table = find_table(tables, stream);
      if (table == nullptr) {
        checks.push_back(check_missing_table(stream, TRY(find_similar_tables(sql_, stream.schema, stream.table, stop_))));
        continue;
      }
      append(checks,
             check_stream(stream, *table, publication ? publication->find_table(stream.schema, stream.table) : nullptr));
    }
    return {};
  }

  Connection& sql_;
  const PostgresOptions& options_;
  std::span<const StreamConfig> streams_;
  StopSignal stop_;
};

}  // namespace

std::vector<Check> check_postgres(Connection& sql, const PostgresOptions& options, std::span<const StreamConfig> streams,
                                  StopSignal stop) {
  std::vector<Check> checks;
  if (auto result = Preflight(sql, options, streams, stop).run(checks); !result) {
    Check broken = failed_check("connection", std::move(result.error().message), std::move(result.error().hint));
    broken.code = result.error().code;
    checks.push_back(std::move(broken));
  }
  return checks;
}

const Check* decisive_failure(std::span<const Check> checks) {
  const Check* decisive = nullptr;
  for (const Check& check : checks) {
    if (check.status != Check::Status::kFailed) {
      continue;
    }
    if (check.code == ErrorCode::kInterrupted) {
      return &check;
    }
    if (decisive == nullptr || (passes_by_itself(decisive->code) && !passes_by_itself(check.code))) {
      decisive = &check;
    }
  }
  return decisive;
}

Result<> require(std::span<const Check> checks, log::Level warnings) {
  std::vector<const Check*> failures;
  for (const Check& check : checks) {
    switch (check.status) {
      case Check::Status::kPassed:
        break;
      case Check::Status::kWarned:
        log::write(warnings, check.message, {{"check", check.name}, {"hint", check.hint}});
        break;
      case Check::Status::kFailed:
        failures.push_back(&check);
        break;
    }
  }
  const Check* const decisive = decisive_failure(checks);
  if (decisive == nullptr) {
    return {};
  }
  if (failures.size() == 1 || decisive->code == ErrorCode::kInterrupted) {
    return fail(decisive->code, decisive->message, decisive->hint);
  }
  std::string messages = fmt::format("{} checks failed", failures.size());
  std::string hints;
  for (std::size_t index = 0; index < failures.size(); ++index) {
    messages += fmt::format("{} ({}) {}", index == 0 ? ":" : ";", index + 1, failures[index]->message);
    if (!failures[index]->hint.empty()) {
      hints += fmt::format("{}({}) {}", hints.empty() ? "" : " ", index + 1, failures[index]->hint);
    }
  }
  return fail(decisive->code, std::move(messages), std::move(hints));
}

Check passed_check(std::string name, std::string message) {
  return {.name = std::move(name), .status = Check::Status::kPassed, .message = std::move(message), .hint = {}};
}

Check warned_check(std::string name, std::string message, std::string hint) {
  return {.name = std::move(name), .status = Check::Status::kWarned, .message = std::move(message), .hint = std::move(hint)};
}

Check failed_check(std::string name, std::string message, std::string hint) {
  return {.name = std::move(name), .status = Check::Status::kFailed, .message = std::move(message), .hint = std::move(hint)};
}

}  // namespace outboxx
