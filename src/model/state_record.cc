#include "model/state_record.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "model/snapshot_job.h"
#include "model/snapshot_job_json.h"
#include "model/snapshot_state.h"

namespace outboxx {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::uint64_t kFormat = 1;

std::unexpected<Error> unreadable(std::string_view problem) {
  return fail(ErrorCode::kState, "cannot read the state record: " + std::string(problem),
              "Somebody else wrote under its key, or a newer Outboxx did: look at the topic of [state], and choose another "
              "topic or id there if it is not ours.");
}

// One line. Bytes that are not UTF-8 (a database's name may have some) become U+FFFD.
template <typename AnyJson>
std::string to_text(const AnyJson& json) {
  return json.dump(-1, ' ', false, AnyJson::error_handler_t::replace);
}

// Discarded if text is no JSON object, or has a name twice in one object: which one would count?
Json parse_object(std::string_view text) {
  std::vector<std::set<std::string>> names;  // of the objects around
  bool is_ambiguous = false;
  const auto on_event = [&](int, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) {
      names.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      names.pop_back();
    } else if (event == Json::parse_event_t::key) {
      is_ambiguous |= !names.back().insert(parsed.get<std::string>()).second;
    }
    return true;
  };
  Json json = Json::parse(text, on_event, false);
  return json.is_object() && !is_ambiguous ? json : Json(Json::value_t::discarded);
}

// Takes members of an object; the first one that is missing or wrong is remembered.
class Members {
 public:
  explicit Members(const Json& object) : object_(object) {}

  std::string text(std::string_view name) {
    const Json* const value = find(name, &Json::is_string);
    return value == nullptr ? std::string() : value->get<std::string>();
  }
  std::uint64_t number(std::string_view name, std::uint64_t maximum = std::numeric_limits<std::uint64_t>::max()) {
    const Json* const value = find(name, &Json::is_number_unsigned);
    const auto number = value == nullptr ? 0 : value->get<std::uint64_t>();
    if (number > maximum) {
      set_wrong(name);
      return 0;
    }
    return number;
  }
  std::uint32_t number32(std::string_view name) {
    return static_cast<std::uint32_t>(number(name, std::numeric_limits<std::uint32_t>::max()));
  }
  Lsn position(std::string_view name) {
    const auto lsn = parse_lsn(text(name));
    if (!lsn) {
      set_wrong(name);
    }
    return lsn.value_or(Lsn{});
  }
  bool flag(std::string_view name) {
    const Json* const value = find(name, &Json::is_boolean);
    return value != nullptr && value->get<bool>();
  }
  // Empty if it is wrong.
  const Json& array(std::string_view name) {
    static const Json kEmpty = Json::array();
    const Json* const value = find(name, &Json::is_array);
    return value == nullptr ? kEmpty : *value;
  }
  // nullptr if there is none, which is not wrong.
  const Json* optional_object(std::string_view name) { return object_.contains(name) ? find(name, &Json::is_object) : nullptr; }

  void set_wrong(std::string_view name) {
    if (wrong_.empty()) {
      wrong_ = name;
    }
  }
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

 private:
  const Json* find(std::string_view name, bool (Json::*is_right)() const noexcept) {
    const auto found = object_.find(name);
    if (found == object_.end() || !((*found).*is_right)()) {
      set_wrong(name);
      return nullptr;
    }
    return &*found;
  }

  const Json& object_;
  std::string wrong_;
};

OrderedJson to_json(const SnapshotState& snapshot) {
  OrderedJson finished = OrderedJson::array();
  OrderedJson begun = OrderedJson::array();
  for (const TableSnapshot& table : snapshot.tables) {
    if (table.is_done) {
      finished.push_back(table.oid);
      continue;
    }
    OrderedJson done = OrderedJson::array();
    for (const BlockRange& range : table.done) {
      done.push_back({range.begin, range.end});
    }
    begun.push_back({{"oid", table.oid},
                     {"file_node", table.file_node},
                     {"xmin", table.xmin},
                     {"next_block", table.next_block},
                     {"done", std::move(done)}});
  }
  return {{"pending", snapshot.is_pending},
          {"xmin", snapshot.xmin},
          {"finished", std::move(finished)},
          {"begun", std::move(begun)}};
}

// Nothing if json is no pair of block numbers, begin and end.
std::optional<BlockRange> to_range(const Json& json) {
  const auto is_block = [](const Json& number) {
    return number.is_number_unsigned() && number.get<std::uint64_t>() <= BlockRange::kToTheEnd;
  };
  if (!json.is_array() || json.size() != 2 || !is_block(json[0]) || !is_block(json[1])) {
    return std::nullopt;
  }
  const BlockRange range{.begin = json[0].get<std::uint32_t>(), .end = json[1].get<std::uint32_t>()};
  return range.begin < range.end ? std::optional(range) : std::nullopt;
}

std::optional<TableSnapshot> to_table(const Json& json) {
  if (!json.is_object()) {
    return std::nullopt;
  }
  Members members(json);
  TableSnapshot table{.oid = members.number32("oid"),
                      .file_node = members.number32("file_node"),
                      .xmin = members.number32("xmin"),
                      .next_block = static_cast<std::uint32_t>(members.number("next_block", BlockRange::kToTheEnd - 1)),
                      .done = {},
                      .is_done = false};
  for (const Json& element : members.array("done")) {
    const auto range = to_range(element);
    if (!range) {
      return std::nullopt;
    }
    table.add(*range);
  }
  return members.wrong().empty() ? std::optional(std::move(table)) : std::nullopt;
}

// Nothing if it is wrong.
std::optional<SnapshotState> to_snapshot(const Json& json) {
  Members members(json);
  SnapshotState snapshot{.is_pending = members.flag("pending"), .tables = {}};
  if (json.contains("xmin")) {  // not in the first records
    snapshot.xmin = members.number32("xmin");
  }
  for (const Json& oid : members.array("finished")) {
    if (!oid.is_number_unsigned() || oid.get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
      return std::nullopt;
    }
    snapshot.tables.push_back({.oid = oid.get<std::uint32_t>(), .done = {}, .is_done = true});
  }
  for (const Json& element : members.array("begun")) {
    auto table = to_table(element);
    if (!table) {
      return std::nullopt;
    }
    snapshot.tables.push_back(*std::move(table));
  }
  std::ranges::sort(snapshot.tables, {}, &TableSnapshot::oid);
  const bool is_unique = std::ranges::adjacent_find(snapshot.tables, {}, &TableSnapshot::oid) == snapshot.tables.end();
  return members.wrong().empty() && is_unique ? std::optional(std::move(snapshot)) : std::nullopt;
}

// Grows as a snapshot goes on, and is highest without one.
std::tuple<bool, std::size_t, std::uint64_t> rank(const SnapshotState& snapshot) {
  std::size_t finished = 0;
  std::uint64_t blocks = 0;
  for (const TableSnapshot& table : snapshot.tables) {
    finished += table.is_done ? 1 : 0;
    blocks += table.next_block;
    for (const BlockRange& range : table.done) {
      blocks += range.end - range.begin;
    }
  }
  return {!snapshot.is_pending, finished, blocks};
}

bool is_instance(std::string_view text) {
  return text.size() == kInstanceSize &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_behind(const StateRecord& left, const StateRecord& right) {
  const auto place = [](const StateRecord& record) {
    return std::tuple(record.epoch, record.kind, record.progress, rank(record.snapshot), record.jobs.revision);
  };
  return place(left) < place(right);
}

}  // namespace

std::string encode(const StateRecord& record) {
  OrderedJson json = {{"format", kFormat},
                      {"kind", record.kind == StateKind::kIntent ? "intent" : "progress"},
                      {"epoch", record.epoch},
                      {"system", record.system_identifier},
                      {"timeline", record.timeline},
                      {"server_version", record.server_version},
                      {"database", record.database},
                      {"slot", record.slot},
                      {"publication_oid", record.publication_oid},
                      {"position", to_string(record.progress.position)},
                      {"open_commit", to_string(record.progress.open_commit)},
                      {"ordinal", record.progress.ordinal}};
  if (record.snapshot != SnapshotState{}) {
    json["snapshot"] = to_json(record.snapshot);
  }
  if (record.jobs != SnapshotJobs{}) {
    json["jobs"] = to_json(record.jobs);
  }
  return to_text(json);
}

std::string encode(const GapMarker& marker) {
  return to_text(OrderedJson{{"format", kFormat},
                             {"kind", "gap"},
                             {"database", marker.database},
                             {"slot", marker.slot},
                             {"from", to_string(marker.from)},
                             {"to", to_string(marker.to)},
                             {"reason", marker.reason}});
}

std::string storable(const std::string& name) {
  return Json::parse(to_text(Json(name))).get<std::string>();
}

Result<StateRecord> decode_state_record(std::string_view text) {
  if (text.size() > kStateRecordBytesMax) {
    return unreadable("it is too large");
  }
  Json json = parse_object(text);
  if (json.is_discarded()) {
    json = parse_object(storable(std::string(text)));  // before there were snapshots, all bytes of a name were written
  }
  if (json.is_discarded()) {
    return unreadable("it is not a JSON object");
  }
  Members members(json);
  const std::uint64_t format = members.number("format");
  if (members.wrong().empty() && format != kFormat) {
    return unreadable("its format is " + std::to_string(format) + ", this version knows " + std::to_string(kFormat));
  }
  const std::string kind = members.text("kind");
  StateRecord record{.kind = kind == "intent" ? StateKind::kIntent : StateKind::kProgress,
                     .epoch = members.number("epoch"),
                     .system_identifier = members.text("system"),
                     .timeline = members.number32("timeline"),
                     .server_version = members.number32("server_version"),
                     .database = members.text("database"),
                     .slot = members.text("slot"),
                     .publication_oid = members.number32("publication_oid"),
                     .progress = {.position = members.position("position"),
                                  .open_commit = members.position("open_commit"),
                                  .ordinal = members.number("ordinal")},
                     .snapshot = {},
                     .jobs = {}};
  if (const Json* const object = members.optional_object("snapshot")) {
    if (auto snapshot = to_snapshot(*object)) {
      record.snapshot = *std::move(snapshot);
    } else {
      members.set_wrong("snapshot");
    }
  }
  if (const Json* const object = members.optional_object("jobs")) {
    if (auto jobs = to_jobs(*object)) {
      record.jobs = *std::move(jobs);
    } else {
      members.set_wrong("jobs");
    }
  }
  if (!members.wrong().empty()) {
    return unreadable("\"" + members.wrong() + "\" is missing or wrong");
  }
  if (kind != "intent" && kind != "progress") {
    return unreadable("its kind is unknown");
  }
  return record;
}

std::string state_key(std::string_view pipeline, std::string_view instance) {
  return std::string(pipeline).append("/").append(instance);
}

std::string gap_key(std::string_view pipeline, Lsn to) {
  return std::string(pipeline).append("/gap/").append(to_string(to));
}

Result<> StateHistory::take(std::string_view key, std::string_view value) {
  const bool is_ours =
      key.size() == pipeline_.size() + 1 + kInstanceSize && key.starts_with(pipeline_) && key[pipeline_.size()] == '/';
  if (!is_ours || !is_instance(key.substr(pipeline_.size() + 1))) {
    return {};
  }
  if (value.empty()) {
    records_.erase(std::string(key));
    return {};
  }
  records_.insert_or_assign(std::string(key), TRY(decode_state_record(value)));
  return {};
}

std::optional<StateRecord> StateHistory::newest() const {
  const auto furthest = std::ranges::max_element(
      records_, [](const auto& left, const auto& right) { return is_behind(left.second, right.second); });
  return furthest == records_.end() ? std::nullopt : std::optional(furthest->second);
}

std::vector<std::string> StateHistory::outdated(Lsn confirmed) const {
  std::vector<std::string> keys;
  const auto last = newest();
  for (const auto& [key, record] : records_) {
    if (record.progress.position < confirmed && record != *last) {
      keys.push_back(key);
    }
  }
  return keys;
}

}  // namespace outboxx
