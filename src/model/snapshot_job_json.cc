#include "model/snapshot_job_json.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/snapshot_job.h"
#include "model/state_record.h"

namespace outboxx {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kKinds[] = {"requested", "added"};

// Throws the library's exceptions if there is no such number.
std::uint64_t number(const Json& object, const char* name, std::uint64_t maximum = std::numeric_limits<std::uint64_t>::max()) {
  const Json& value = object.at(name);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > maximum) {
    throw Json::other_error::create(501, name, &value);
  }
  return value.get<std::uint64_t>();
}

std::uint32_t oid(const Json& object, const char* name) {
  return static_cast<std::uint32_t>(number(object, name, std::numeric_limits<std::uint32_t>::max()));
}

// [name, value, order]; a record may be older than the order.
std::vector<PlaceColumn> to_place_key(const Json& json) {
  std::vector<PlaceColumn> key;
  for (const Json& column : json) {
    key.push_back({.name = column.at(0).get<std::string>(),
                   .value = column.at(1).get<std::string>(),
                   .order = column.size() > 2 ? column.at(2).get<std::string>() : std::string()});
  }
  return key;
}

// A key that is no UTF-8, in a database of SQL_ASCII, cannot stand in the record, and another must not stand for it: rows
// between the two would never be read. Its leaf is begun anew after a restart.
OrderedJson to_json(const std::vector<PlaceColumn>& key) {
  OrderedJson json = OrderedJson::array();
  if (std::ranges::any_of(key, [](const PlaceColumn& column) { return storable(column.value) != column.value; })) {
    return json;
  }
  for (const PlaceColumn& column : key) {
    json.push_back({column.name, column.value, column.order});
  }
  return json;
}

SnapshotJob to_job(const Json& json) {
  SnapshotJob job{
      .id = number(json, "id"),
      .kind = json.at("kind").get<std::string>() == kKinds[1] ? JobKind::kAdded : JobKind::kRequested,
      .tables = json.at("tables").get<std::vector<std::string>>(),
      .where = json.at("where").get<std::string>(),
      .is_paused = json.at("paused").get<bool>(),
      .tables_done = number(json, "tables_done"),
      .place = {.leaf_done = oid(json, "leaf_done"), .key_leaf = oid(json, "key_leaf"), .key = to_place_key(json.at("key"))},
      .rows = number(json, "rows")};
  if (job.tables_done >= job.tables.size()) {
    throw Json::other_error::create(501, "tables_done", &json);
  }
  return job;
}

std::string dump(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace

OrderedJson to_json(const SnapshotJobs& jobs) {
  OrderedJson queue = OrderedJson::array();
  for (const SnapshotJob& job : jobs.queue) {
    queue.push_back({{"id", job.id},
                     {"kind", kKinds[std::to_underlying(job.kind)]},
                     {"tables", job.tables},
                     {"where", job.where},
                     {"paused", job.is_paused},
                     {"tables_done", job.tables_done},
                     {"rows", job.rows},
                     {"leaf_done", job.place.leaf_done},
                     {"key_leaf", job.place.key_leaf},
                     {"key", to_json(job.place.key)}});
  }
  return {{"revision", jobs.revision}, {"watches_tables", jobs.watches_tables}, {"queue", std::move(queue)}};
}

std::optional<SnapshotJobs> to_jobs(const Json& json) {
  try {
    SnapshotJobs jobs{.revision = number(json, "revision"), .watches_tables = json.at("watches_tables").get<bool>()};
    for (const Json& element : json.at("queue")) {
      jobs.queue.push_back(to_job(element));
    }
    return jobs;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

Result<JobRequest> parse_job_request(std::string_view text) {
  const auto wrong = [](const std::string& message) {
    return fail(ErrorCode::kUsage, message,
                R"(Send {"tables":["schema.table"]}, and "where":"SQL" if not all rows are wanted.)");
  };
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) {
    return wrong("the request is no JSON object");
  }
  for (const auto& member : json.items()) {
    if (member.key() != "tables" && member.key() != "where") {
      return wrong("the request has an unknown member \"" + member.key() + "\"");
    }
  }
  try {
    JobRequest request{.tables = json.at("tables").get<std::vector<std::string>>(), .where = json.value("where", "")};
    if (request.tables.empty() || request.tables.size() > JobRequest::kTablesMax) {
      return wrong("the request names no table, or too many");
    }
    return request;
  } catch (const Json::exception&) {
    return wrong("\"tables\" or \"where\" of the request is missing or wrong");
  }
}

std::string to_text(const JobRequest& request) {
  OrderedJson json = {{"tables", request.tables}};
  if (!request.where.empty()) {
    json["where"] = request.where;
  }
  return dump(json);
}

std::uint64_t id_of_reply(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  return json.is_object() && json.contains("id") && json["id"].is_number_unsigned() ? json["id"].get<std::uint64_t>() : 0;
}

std::string error_of_reply(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  return json.is_object() && json.contains("error") && json["error"].is_string() ? json["error"].get<std::string>() : "";
}

std::vector<std::string> lines_of_jobs(const std::string& text) {
  std::vector<std::string> lines;
  try {
    const Json answer = Json::parse(text);
    for (const Json& job : answer.at("jobs")) {
      std::string line = std::to_string(number(job, "id")) + "  " + job.at("state").get<std::string>() + "  " +
                         std::to_string(number(job, "rows")) + " rows ";
      for (const Json& table : job.at("tables")) {
        line += " " + table.get<std::string>();
      }
      const std::string where = job.value("where", "");
      const std::string reason = job.value("reason", "");
      line += where.empty() ? "" : "  where " + where;
      line += reason.empty() ? "" : "  (" + reason + ")";
      lines.push_back(std::move(line));
    }
  } catch (const Json::exception&) {
    lines.emplace_back("the instance's answer could not be understood");
  }
  return lines;
}

OrderedJson to_json(const SnapshotJob& job, std::string_view state, std::string_view reason) {
  OrderedJson json = {{"id", job.id},
                      {"state", state},
                      {"kind", kKinds[std::to_underlying(job.kind)]},
                      {"tables", job.tables},
                      {"tables_done", job.tables_done},
                      {"rows", job.rows}};
  if (!job.where.empty()) {
    json["where"] = job.where;
  }
  if (!reason.empty()) {
    json["reason"] = reason;
  }
  return json;
}

}  // namespace outboxx
