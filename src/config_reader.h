// ConfigReader: typed reading of a configuration file's tables. A fault is noted and reading goes on, so that all faults of
// a file are reported in one go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config_toml.h"

namespace outboxx {

// The faults and warnings of one file.
class ConfigReport {
 public:
  // keys: every known key with its full dotted name, without array indexes; outlives the report.
  ConfigReport(std::string path, std::span<const std::string_view> keys) : path_(std::move(path)), keys_(keys) {}

  void fault(TomlPosition position, std::string_view key, std::string_view problem);
  void warning(TomlPosition position, std::string_view key, std::string_view problem);

  [[nodiscard]] bool has_faults() const { return !faults_.empty(); }
  // "FILE:LINE:COLUMN: key: problem", in the order of the file.
  [[nodiscard]] std::vector<std::string> faults() const { return lines(faults_); }
  [[nodiscard]] std::vector<std::string> warnings() const { return lines(warnings_); }
  [[nodiscard]] std::span<const std::string_view> keys() const { return keys_; }

 private:
  struct Note {
    TomlPosition position;
    std::string key;
    std::string problem;
  };
  [[nodiscard]] std::vector<std::string> lines(std::vector<Note> notes) const;

  std::string path_;
  std::span<const std::string_view> keys_;
  std::vector<Note> faults_;
  std::vector<Note> warnings_;
};

// allowed completes the sentence "must be ...".
struct TextRule {
  std::string_view allowed;
  std::size_t length_max;                        // bytes; the minimum is 1
  bool (*is_valid)(std::string_view) = nullptr;  // null: any text
  bool is_shown = true;                          // whether messages may quote the value
  bool is_database_name = false;                 // PostgreSQL's names may hold line ends; other texts no control characters
};

struct ConfigText {
  TomlPosition position;
  std::string key;  // full name, for messages
  std::string value;
};

template <typename T>
struct Choice {
  std::string_view name;
  T value;
};

// One table of the file. A view: the tree and the report outlive it.
class ConfigTable {
 public:
  ConfigTable(const TomlTable& root, ConfigReport& report) : report_(&report), entries_(&root) {}

  [[nodiscard]] bool exists() const { return entries_ != nullptr; }
  // What an absent table lacks is reported at the position of the table that should hold it.
  [[nodiscard]] ConfigTable table(std::string_view key) const;
  [[nodiscard]] std::vector<ConfigTable> tables(std::string_view key, std::size_t count_max) const;

  // Nothing, if the key is absent or its value is at fault; require_...() reports an absent key as well.
  [[nodiscard]] std::optional<ConfigText> text(std::string_view key, const TextRule& rule) const;
  [[nodiscard]] std::optional<ConfigText> require_text(std::string_view key, const TextRule& rule) const;
  [[nodiscard]] std::vector<ConfigText> require_texts(std::string_view key, const TextRule& rule, std::size_t count_max) const;
  [[nodiscard]] const TomlValue* find(std::string_view key) const;

  // Leave the target as it is if the key is absent or its value is at fault.
  void read_bool(std::string_view key, bool& target) const;
  void read_integer(std::string_view key, std::int64_t minimum, std::int64_t maximum, std::int64_t& target) const;
  template <typename T>
  void read_choice(std::string_view key, std::span<const Choice<T>> choices, T& target) const {
    if (const TomlValue* value = find(key)) {
      assign_choice(*value, key, choices, target);
    }
  }
  template <typename T>
  void require_choice(std::string_view key, std::span<const Choice<T>> choices, T& target) const {
    if (const TomlValue* value = require(key, list_of(names_of(choices)))) {
      assign_choice(*value, key, choices, target);
    }
  }

  // The table's own position and full name, and the full name of one of its keys.
  [[nodiscard]] TomlPosition position() const { return position_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string full_name(std::string_view key) const;
  [[nodiscard]] ConfigReport& report() const { return *report_; }

 private:
  template <typename T>
  static std::vector<std::string_view> names_of(std::span<const Choice<T>> choices) {
    std::vector<std::string_view> names;
    for (const Choice<T>& choice : choices) {
      names.push_back(choice.name);
    }
    return names;
  }
  template <typename T>
  void assign_choice(const TomlValue& value, std::string_view key, std::span<const Choice<T>> choices, T& target) const {
    if (const auto index = index_of(value, key, names_of(choices))) {
      target = choices[*index].value;
    }
  }
  static std::string list_of(const std::vector<std::string_view>& names);
  [[nodiscard]] std::optional<std::size_t> index_of(const TomlValue& value, std::string_view key,
                                                    const std::vector<std::string_view>& names) const;
  [[nodiscard]] const TomlValue* require(std::string_view key, std::string_view allowed) const;
  [[nodiscard]] bool is_known(std::string_view key) const;

  ConfigReport* report_;
  const TomlTable* entries_;  // null: the table is absent, or is no table
  bool is_faulty_ = false;    // reported already: what it lacks is not
  TomlPosition position_;
  std::string name_;        // "streams[1].source"
  std::string known_name_;  // "streams.source"
};

// Reports keys which are not in the report's list, with the nearest one that is.
void report_unknown_keys(const TomlTable& root, ConfigReport& report);

// A user-given text for a message: quoted, control characters escaped, cut if long.
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace outboxx
