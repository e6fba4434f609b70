#include "config_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "config_toml.h"

namespace outboxx {
namespace {

constexpr std::size_t kShownBytesMax = 80;

std::string escaped(std::string_view text) {
  std::size_t shown = std::min(text.size(), kShownBytesMax);
  while (shown < text.size() && (static_cast<unsigned char>(text[shown]) & 0xC0U) == 0x80U) {
    --shown;  // not in the middle of a UTF-8 sequence
  }
  std::string result;
  for (const char c : text.substr(0, shown)) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return shown < text.size() ? result + "..." : result;
}

std::string join(std::string_view table, std::string_view key) {
  return table.empty() ? std::string(key) : fmt::format("{}.{}", table, key);
}

bool has_control_characters(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// "an integer", for "must be ..., not an integer".
struct TypeName {
  std::string_view operator()(const std::string&) const { return "a string"; }
  std::string_view operator()(std::int64_t) const { return "an integer"; }
  std::string_view operator()(double) const { return "a float"; }
  std::string_view operator()(bool) const { return "a boolean"; }
  std::string_view operator()(const TomlDate&) const { return "a date or time"; }
  std::string_view operator()(const TomlArray&) const { return "an array"; }
  std::string_view operator()(const TomlTable&) const { return "a table"; }
};

std::string must_be(std::string_view allowed, const TomlValue& value) {
  return fmt::format("must be {}, not {}", allowed, std::visit(TypeName(), value.data));
}

// Why the value breaks the rule; empty if it does not.
std::string problem_with(const TomlValue& value, const TextRule& rule) {
  const auto* text = std::get_if<std::string>(&value.data);
  if (text == nullptr) {
    return must_be(rule.allowed, value);
  }
  if (text->empty()) {
    return fmt::format("must be {}, not an empty string", rule.allowed);
  }
  if (text->size() > rule.length_max) {
    return fmt::format("must be {}, not a string of {} bytes", rule.allowed, text->size());
  }
  const bool is_valid = rule.is_valid == nullptr || rule.is_valid(*text);
  if (is_valid && !rule.is_database_name && has_control_characters(*text)) {
    return fmt::format("must be {} without control characters", rule.allowed);
  }
  if (is_valid && text->find('\0') != std::string::npos) {
    return fmt::format("must be {} without NUL characters", rule.allowed);
  }
  if (!is_valid) {
    return rule.is_shown ? fmt::format("must be {}, not {}", rule.allowed, quoted(*text))
                         : fmt::format("must be {}", rule.allowed);
  }
  return {};
}

// Levenshtein's: how many characters to insert, remove or replace.
std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= left.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j < row.size(); ++j) {
      const std::size_t replaced = diagonal + (left[i - 1] == right[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, diagonal + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

// The names directly inside a table, as the known keys have them.
std::vector<std::string_view> children_of(std::string_view table, std::span<const std::string_view> keys) {
  std::vector<std::string_view> children;
  const std::string prefix = table.empty() ? std::string() : fmt::format("{}.", table);
  for (const std::string_view key : keys) {
    if (key.starts_with(prefix)) {
      const std::string_view rest = key.substr(prefix.size());
      const std::string_view child = rest.substr(0, rest.find('.'));
      if (std::ranges::find(children, child) == children.end()) {
        children.push_back(child);
      }
    }
  }
  return children;
}

std::string suggestion_for(std::string_view key, std::string_view table, std::span<const std::string_view> keys) {
  const std::vector<std::string_view> children = children_of(table, keys);
  std::string_view nearest;
  std::size_t best = std::max<std::size_t>(key.size() / 3, 1) + 1;
  for (const std::string_view child : children) {
    if (const std::size_t distance = edit_distance(key.substr(0, 64), child); distance < best) {
      best = distance;
      nearest = child;
    }
  }
  if (!nearest.empty()) {
    return fmt::format("did you mean {}?", quoted(nearest));
  }
  for (const std::string_view known : keys) {
    if (key.find('.') == std::string_view::npos && known.ends_with(fmt::format(".{}", key))) {
      return fmt::format("did you mean {}?", quoted(known));
    }
  }
  return fmt::format("known here: {}", fmt::join(children, ", "));
}

struct TableName {
  std::string full;   // with array indexes
  std::string known;  // without
};

void report_unknown_in(const TomlTable& table, const TableName& name, ConfigReport& report) {
  for (const TomlEntry& entry : table) {
    const TableName child{.full = join(name.full, escaped(entry.key)), .known = join(name.known, entry.key)};
    const bool is_key = std::ranges::find(report.keys(), child.known) != report.keys().end();
    // A dot inside a key would make the joined name look like one of another table.
    if (entry.key.find('.') != std::string::npos || (!is_key && children_of(child.known, report.keys()).empty())) {
      report.fault(entry.key_position, child.full,
                   fmt::format("unknown key; {}", suggestion_for(entry.key, name.known, report.keys())));
    } else if (is_key) {
      continue;
    } else if (const auto* inner = std::get_if<TomlTable>(&entry.value.data)) {
      report_unknown_in(*inner, child, report);
    } else if (const auto* array = std::get_if<TomlArray>(&entry.value.data)) {
      for (std::size_t i = 0; i < array->size(); ++i) {
        if (const auto* element = std::get_if<TomlTable>(&(*array)[i].data)) {
          report_unknown_in(*element, {.full = fmt::format("{}[{}]", child.full, i), .known = child.known}, report);
        }
      }
    }
  }
}

}  // namespace

void ConfigReport::fault(TomlPosition position, std::string_view key, std::string_view problem) {
  faults_.push_back({.position = position, .key = std::string(key), .problem = std::string(problem)});
}

void ConfigReport::warning(TomlPosition position, std::string_view key, std::string_view problem) {
  warnings_.push_back({.position = position, .key = std::string(key), .problem = std::string(problem)});
}

std::vector<std::string> ConfigReport::lines(std::vector<Note> notes) const {
  std::ranges::stable_sort(notes, {}, &Note::position);
  std::vector<std::string> result;
  result.reserve(notes.size());
  for (const Note& note : notes) {
    result.push_back(fmt::format("{}:{}:{}: {}: {}", path_, note.position.line, note.position.column, note.key, note.problem));
  }
  return result;
}

ConfigTable ConfigTable::table(std::string_view key) const {
  ConfigTable result = *this;
  result.name_ = full_name(key);
  result.known_name_ = join(known_name_, key);
  result.entries_ = nullptr;
  if (const TomlValue* value = find(key)) {
    result.position_ = value->position;
    result.entries_ = std::get_if<TomlTable>(&value->data);
    if (result.entries_ == nullptr) {
      result.is_faulty_ = true;
      report_->fault(value->position, result.name_, must_be("a table", *value));
    }
  }
  return result;
}

std::vector<ConfigTable> ConfigTable::tables(std::string_view key, std::size_t count_max) const {
  const std::string allowed = fmt::format("1 to {} tables, each headed [[{}]]", count_max, full_name(key));
  const TomlValue* value = require(key, allowed);
  if (value == nullptr) {
    return {};
  }
  const auto* array = std::get_if<TomlArray>(&value->data);
  if (array == nullptr) {
    report_->fault(value->position, full_name(key), must_be(allowed, *value));
    return {};
  }
  if (array->empty() || array->size() > count_max) {
    report_->fault(value->position, full_name(key), fmt::format("must be {}, not {}", allowed, array->size()));
  }
  std::vector<ConfigTable> result;
  for (std::size_t i = 0; i < std::min(array->size(), count_max); ++i) {
    const TomlValue& element = (*array)[i];
    ConfigTable& table = result.emplace_back(*this);
    table.name_ = fmt::format("{}[{}]", full_name(key), i);
    table.known_name_ = join(known_name_, key);
    table.position_ = element.position;
    table.entries_ = std::get_if<TomlTable>(&element.data);
    if (table.entries_ == nullptr) {
      table.is_faulty_ = true;
      report_->fault(element.position, table.name_, must_be("a table", element));
    }
  }
  return result;
}

std::optional<ConfigText> ConfigTable::text(std::string_view key, const TextRule& rule) const {
  const TomlValue* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (const std::string problem = problem_with(*value, rule); !problem.empty()) {
    report_->fault(value->position, full_name(key), problem);
    return std::nullopt;
  }
  return ConfigText{.position = value->position, .key = full_name(key), .value = std::get<std::string>(value->data)};
}

std::optional<ConfigText> ConfigTable::require_text(std::string_view key, const TextRule& rule) const {
  return require(key, rule.allowed) == nullptr ? std::nullopt : text(key, rule);
}

std::vector<ConfigText> ConfigTable::require_texts(std::string_view key, const TextRule& rule, std::size_t count_max) const {
  const std::string allowed = fmt::format("an array of 1 to {} strings", count_max);
  const TomlValue* value = require(key, allowed);
  if (value == nullptr) {
    return {};
  }
  const auto* array = std::get_if<TomlArray>(&value->data);
  if (array == nullptr) {
    report_->fault(value->position, full_name(key), must_be(allowed, *value));
    return {};
  }
  if (array->empty() || array->size() > count_max) {
    report_->fault(value->position, full_name(key), fmt::format("must be {}, not {}", allowed, array->size()));
    return {};
  }
  std::vector<ConfigText> texts;
  for (std::size_t i = 0; i < array->size(); ++i) {
    const TomlValue& element = (*array)[i];
    std::string name = fmt::format("{}[{}]", full_name(key), i);
    if (const std::string problem = problem_with(element, rule); !problem.empty()) {
      report_->fault(element.position, name, problem);
    } else {
      texts.push_back({.position = element.position, .key = std::move(name), .value = std::get<std::string>(element.data)});
    }
  }
  return texts;
}

const TomlValue* ConfigTable::find(std::string_view key) const {
  CHECK(is_known(key));
  if (entries_ == nullptr) {
    return nullptr;
  }
  const auto entry = std::ranges::find(*entries_, key, &TomlEntry::key);
  return entry == entries_->end() ? nullptr : &entry->value;
}

void ConfigTable::read_bool(std::string_view key, bool& target) const {
  const TomlValue* value = find(key);
  if (value == nullptr) {
    return;
  }
  if (const auto* boolean = std::get_if<bool>(&value->data)) {
    target = *boolean;
  } else {
    report_->fault(value->position, full_name(key), must_be("true or false", *value));
  }
}

void ConfigTable::read_integer(std::string_view key, std::int64_t minimum, std::int64_t maximum, std::int64_t& target) const {
  const TomlValue* value = find(key);
  if (value == nullptr) {
    return;
  }
  const std::string allowed = fmt::format("an integer from {} to {}", minimum, maximum);
  const auto* integer = std::get_if<std::int64_t>(&value->data);
  if (integer == nullptr) {
    report_->fault(value->position, full_name(key), must_be(allowed, *value));
  } else if (*integer < minimum || *integer > maximum) {
    report_->fault(value->position, full_name(key), fmt::format("must be {}, not {}", allowed, *integer));
  } else {
    target = *integer;
  }
}

std::string ConfigTable::full_name(std::string_view key) const {
  return join(name_, key);
}

std::string ConfigTable::list_of(const std::vector<std::string_view>& names) {
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i) {
    list += fmt::format("{}\"{}\"", i == 0 ? "" : i + 1 == names.size() ? " or " : ", ", names[i]);
  }
  return list;
}

std::optional<std::size_t> ConfigTable::index_of(const TomlValue& value, std::string_view key,
                                                 const std::vector<std::string_view>& names) const {
  const auto* text = std::get_if<std::string>(&value.data);
  if (text == nullptr) {
    report_->fault(value.position, full_name(key), must_be(list_of(names), value));
    return std::nullopt;
  }
  const auto name = std::ranges::find(names, *text);
  if (name == names.end()) {
    report_->fault(value.position, full_name(key), fmt::format("must be {}, not {}", list_of(names), quoted(*text)));
    return std::nullopt;
  }
  return static_cast<std::size_t>(name - names.begin());
}

const TomlValue* ConfigTable::require(std::string_view key, std::string_view allowed) const {
  const TomlValue* value = find(key);
  if (value == nullptr && !is_faulty_) {
    report_->fault(position_, full_name(key), fmt::format("missing; must be {}", allowed));
  }
  return value;
}

// A key that is read but not listed would be refused as unknown whenever a file has it.
bool ConfigTable::is_known(std::string_view key) const {
  const std::string known = join(known_name_, key);
  return std::ranges::any_of(report_->keys(), [&](std::string_view candidate) {
    return candidate.starts_with(known) && (candidate.size() == known.size() || candidate[known.size()] == '.');
  });
}

void report_unknown_keys(const TomlTable& root, ConfigReport& report) {
  report_unknown_in(root, {}, report);
}

std::string quoted(std::string_view text) {
  return fmt::format("\"{}\"", escaped(text));
}

}  // namespace outboxx
