// TOML text as a tree of plain values with their positions, so that nothing else needs to know the TOML library.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace outboxx {

// Both count from 1; columns are code points.
struct TomlPosition {
  std::uint32_t line = 1;
  std::uint32_t column = 1;

  auto operator<=>(const TomlPosition&) const = default;
};

struct TomlValue;
struct TomlEntry;
struct TomlDate {};  // a date, a time or both: no key of ours takes one
using TomlArray = std::vector<TomlValue>;
using TomlTable = std::vector<TomlEntry>;  // keys are unique

struct TomlValue {
  TomlPosition position;
  std::variant<std::string, std::int64_t, double, bool, TomlDate, TomlArray, TomlTable> data;
};

struct TomlEntry {
  std::string key;
  TomlPosition key_position;
  TomlValue value;
};

// message quotes no value of the file: it may be a secret.
struct TomlSyntaxError {
  TomlPosition position;
  std::string message;
};

[[nodiscard]] std::expected<TomlTable, TomlSyntaxError> parse_toml(std::string_view text);

}  // namespace outboxx
