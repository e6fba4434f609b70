#include "postgres/server_identity.h"

#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/lsn.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

std::uint32_t to_number(std::string_view text) {
  std::uint32_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Result<ServerIdentity> read_identity(Connection& replication, StopSignal stop) {
  const QueryResult result = TRY(replication.query("IDENTIFY_SYSTEM", {}, catalog_deadline(), stop));
  return ServerIdentity{.system_identifier = result.text(0, 0),
                        .timeline = to_number(result.text(0, 1)),
                        .server_version = static_cast<std::uint32_t>(replication.server_version()),
                        .database = result.text(0, 3),
                        .wal_position = parse_lsn(result.text(0, 2)).value_or(Lsn{})};
}

Result<std::optional<Lsn>> read_switch_point(Connection& replication, std::uint32_t server_timeline,
                                             std::uint32_t left_timeline, StopSignal stop) {
  const QueryResult result =
      TRY(replication.query("TIMELINE_HISTORY " + std::to_string(server_timeline), {}, catalog_deadline(), stop));
  return find_switch_point(result.text(0, 1), left_timeline);
}

std::optional<Lsn> find_switch_point(std::string_view history, std::uint32_t left_timeline) {
  while (!history.empty()) {
    const std::size_t end = std::min(history.find('\n'), history.size());
    const std::string_view line = history.substr(0, end);
    history.remove_prefix(std::min(end + 1, history.size()));
    const std::size_t first_tab = line.find('\t');
    if (first_tab == std::string_view::npos || to_number(line.substr(0, first_tab)) != left_timeline) {
      continue;
    }
    const std::string_view rest = line.substr(first_tab + 1);
    return parse_lsn(rest.substr(0, rest.find('\t')));
  }
  return std::nullopt;
}

Result<std::uint32_t> read_publication_oid(Connection& sql, const std::string& name, StopSignal stop) {
  const QueryResult result =
      TRY(sql.query("select oid from pg_catalog.pg_publication where pubname = $1", {name}, catalog_deadline(), stop));
  return result.rows() == 0 ? 0 : to_number(result.text(0, 0));
}

}  // namespace outboxx
