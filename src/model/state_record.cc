#include "model/state_record.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>
#include <variant>

#include "model/flat_json.h"

namespace outboxx {
namespace {

constexpr std::uint64_t kFormat = 1;

std::unexpected<Error> unreadable(std::string_view problem) {
  return fail(ErrorCode::kState, "cannot read the state record: " + std::string(problem),
              "Somebody else wrote under its key, or a newer Outboxx did: look at the topic of [state], and choose another "
              "topic or id there if it is not ours.");
}

// Takes members of one kind; the first one that is missing or wrong is remembered.
class Members {
 public:
  explicit Members(const FlatJson& members) : members_(members) {}

  std::string text(std::string_view name) {
    const auto* value = find<std::string>(name);
    return value == nullptr ? std::string() : *value;
  }
  std::uint64_t number(std::string_view name, std::uint64_t maximum = std::numeric_limits<std::uint64_t>::max()) {
    const auto* value = find<std::uint64_t>(name);
    if (value != nullptr && *value <= maximum) {
      return *value;
    }
    set_wrong(name);
    return 0;
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
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

 private:
  template <typename T>
  const T* find(std::string_view name) {
    const auto found = members_.find(name);
    const T* const value = found == members_.end() ? nullptr : std::get_if<T>(&found->second);
    if (value == nullptr) {
      set_wrong(name);
    }
    return value;
  }
  void set_wrong(std::string_view name) {
    if (wrong_.empty()) {
      wrong_ = name;
    }
  }

  const FlatJson& members_;
  std::string wrong_;
};

bool is_instance(std::string_view text) {
  return text.size() == kInstanceSize &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_behind(const StateRecord& left, const StateRecord& right) {
  const auto rank = [](const StateRecord& record) { return std::tuple(record.epoch, record.kind, record.progress); };
  return rank(left) < rank(right);
}

}  // namespace

std::string encode(const StateRecord& record) {
  FlatJsonWriter json;
  json.add("format", kFormat);
  json.add("kind", record.kind == StateKind::kIntent ? "intent" : "progress");
  json.add("epoch", record.epoch);
  json.add("system", record.system_identifier);
  json.add("timeline", record.timeline);
  json.add("server_version", record.server_version);
  json.add("database", record.database);
  json.add("slot", record.slot);
  json.add("publication_oid", record.publication_oid);
  json.add("position", to_string(record.progress.position));
  json.add("open_commit", to_string(record.progress.open_commit));
  json.add("ordinal", record.progress.ordinal);
  return std::move(json).finish();
}

std::string encode(const GapMarker& marker) {
  FlatJsonWriter json;
  json.add("format", kFormat);
  json.add("kind", "gap");
  json.add("database", marker.database);
  json.add("slot", marker.slot);
  json.add("from", to_string(marker.from));
  json.add("to", to_string(marker.to));
  json.add("reason", marker.reason);
  return std::move(json).finish();
}

Result<StateRecord> decode_state_record(std::string_view text) {
  const auto json = parse_flat_json(text);
  if (!json) {
    return unreadable("it is not a JSON object of strings and numbers");
  }
  Members members(*json);
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
                                  .ordinal = members.number("ordinal")}};
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
