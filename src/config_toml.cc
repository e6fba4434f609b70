#include "config_toml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace outboxx {
namespace {

// The library builds and frees dotted keys recursively, one level per dot, and keys cannot span lines: these bounds bound the
// stack. The longest sensible line is fifty broker names.
constexpr std::size_t kLineBytesMax = 16384;
constexpr std::size_t kLineDotsMax = 100;

// Dots that may belong to a key. Quotes are matched within the line only, which a text over several lines can mislead; then
// the bound on bytes still holds.
std::size_t count_unquoted_dots(std::string_view line) {
  std::size_t dots = 0;
  char quote = '\0';
  for (const char c : line) {
    if (quote == '\0' && c == '#') {
      break;
    }
    if (quote == '\0' && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = '\0';
    } else if (quote == '\0' && c == '.') {
      ++dots;
    }
  }
  return dots;
}

std::optional<TomlSyntaxError> find_excessive_line(std::string_view text) {
  std::uint32_t number = 1;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.size() > kLineBytesMax) {
      return TomlSyntaxError{.position = {.line = number, .column = 1}, .message = "line is longer than 16384 bytes"};
    }
    if (count_unquoted_dots(line) > kLineDotsMax) {
      return TomlSyntaxError{.position = {.line = number, .column = 1},
                             .message = "line has more than 100 dots outside of quotes"};
    }
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    ++number;
  }
  return std::nullopt;
}

// The library quotes numbers that it cannot represent, and such a number may be a password without its quotes. What else it
// quotes are single characters, and the keys in "cannot redefine".
std::string without_values(std::string_view description) {
  const std::size_t open = description.find('\'');
  const std::size_t close = description.rfind('\'');
  if (description.find("redefine") != std::string_view::npos || open == close || close - open <= 6) {
    return std::string(description);
  }
  return std::string(description.substr(0, open)).append("the value").append(description.substr(close + 1));
}

TomlPosition position_of(const toml::source_region& region) {
  return {.line = std::max<std::uint32_t>(region.begin.line, 1), .column = std::max<std::uint32_t>(region.begin.column, 1)};
}

TomlTable convert_table(const toml::table& table);

TomlValue convert(const toml::node& node) {
  TomlValue value{.position = position_of(node.source()), .data = TomlDate{}};
  if (const auto* text = node.as_string()) {
    value.data = text->get();
  } else if (const auto* integer = node.as_integer()) {
    value.data = integer->get();
  } else if (const auto* number = node.as_floating_point()) {
    value.data = number->get();
  } else if (const auto* boolean = node.as_boolean()) {
    value.data = boolean->get();
  } else if (const auto* table = node.as_table()) {
    value.data = convert_table(*table);
  } else if (const auto* array = node.as_array()) {
    TomlArray elements;
    for (const toml::node& element : *array) {
      elements.push_back(convert(element));
    }
    value.data = std::move(elements);
  }
  return value;
}

TomlTable convert_table(const toml::table& table) {
  TomlTable entries;
  for (const auto& [key, node] : table) {
    entries.push_back({.key = std::string(key.str()), .key_position = position_of(key.source()), .value = convert(node)});
  }
  return entries;
}

}  // namespace

std::expected<TomlTable, TomlSyntaxError> parse_toml(std::string_view text) {
  if (auto error = find_excessive_line(text)) {
    return std::unexpected(std::move(*error));
  }
  try {
    return convert_table(toml::parse(text));
  } catch (const toml::parse_error& error) {
    return std::unexpected(
        TomlSyntaxError{.position = position_of(error.source()), .message = without_values(error.description())});
  }
}

}  // namespace outboxx
