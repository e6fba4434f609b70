// What must hold of the JSON writer for any bytes; a violation aborts.
#pragma once

#include <cctype>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

#include "format/json_writer.h"

namespace outboxx::fuzz {

// A validator that shares no code with the writer.
class JsonChecker {
 public:
  explicit JsonChecker(std::string_view json) : rest_(json) {}

  // The text of a JSON string that fills the input; aborts if it is none.
  std::string text_of_string() {
    std::string text;
    take('"');
    while (peek() != '"') {
      const char c = next();
      require(static_cast<unsigned char>(c) >= 0x20);
      text.push_back(c == '\\' ? unescape() : c);
    }
    take('"');
    require(rest_.empty());
    return text;
  }

  // Aborts unless the input is a JSON number without exponent.
  void check_plain_number() {
    if (peek() == '-') {
      next();
    }
    const bool leading_zero = peek() == '0';
    require(take_digits() == 1 || !leading_zero);
    if (!rest_.empty()) {
      take('.');
      take_digits();
    }
    require(rest_.empty());
  }

  static void require(bool condition) {
    if (!condition) {
      std::abort();
    }
  }

 private:
  char peek() const {
    require(!rest_.empty());
    return rest_.front();
  }
  char next() {
    const char c = peek();
    rest_.remove_prefix(1);
    return c;
  }
  void take(char expected) { require(next() == expected); }

  std::size_t take_digits() {
    std::size_t count = 0;
    for (; !rest_.empty() && std::isdigit(static_cast<unsigned char>(rest_.front())) != 0; ++count) {
      rest_.remove_prefix(1);
    }
    require(count > 0);
    return count;
  }

  char unescape() {
    const char letter = next();
    const std::size_t known = std::string_view("\"\\/bfnrt").find(letter);
    if (known != std::string_view::npos) {
      return "\"\\/\b\f\n\r\t"[known];
    }
    require(letter == 'u' && next() == '0' && next() == '0');
    const std::string digits{next(), next()};
    require(digits.find_first_not_of("0123456789abcdef") == std::string::npos);
    return static_cast<char>(std::strtol(digits.c_str(), nullptr, 16));
  }

  std::string_view rest_;
};

// Decodes to code points and checks each, so that it does not repeat the table of the code under test.
inline bool decodes_as_utf8(std::string_view text) {
  while (!text.empty()) {
    const auto first = static_cast<unsigned char>(text.front());
    const std::size_t size = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    if (size == 0 || text.size() < size) {
      return false;
    }
    unsigned long code = size == 1 ? first : first & (0x7FU >> size);
    for (const char c : text.substr(1, size - 1)) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >> 6 != 2) {
        return false;
      }
      code = code << 6 | (byte & 0x3FU);
    }
    constexpr unsigned long first_of_size[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < first_of_size[size] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return false;
    }
    text.remove_prefix(size);
  }
  return true;
}

inline void json_target(std::string_view input) {
  std::string repaired;
  append_as_utf8(repaired, input);
  JsonChecker::require(decodes_as_utf8(repaired));
  JsonChecker::require(is_utf8(input) == decodes_as_utf8(input));
  JsonChecker::require((repaired == input) == is_utf8(input));

  std::string json;
  append_json_string(json, repaired);
  JsonChecker::require(decodes_as_utf8(json));
  JsonChecker::require(JsonChecker(json).text_of_string() == repaired);

  json.clear();
  append_json_string(json, input);  // trusted bytes come back whatever they are
  JsonChecker::require(JsonChecker(json).text_of_string() == input);

  std::string number;
  if (append_plain_decimal(number, input)) {
    JsonChecker(number).check_plain_number();
    JsonChecker::require(std::strtod(number.c_str(), nullptr) == std::strtod(std::string(input).c_str(), nullptr));
  } else {
    JsonChecker::require(number.empty());
  }
  number.clear();
  if (append_json_integer(number, input)) {
    JsonChecker(number).check_plain_number();
    JsonChecker::require(number == input);
  }
}

}  // namespace outboxx::fuzz
