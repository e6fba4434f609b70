// Lsn: a position in PostgreSQL's write-ahead log, in bytes. Written X/X, as pg_lsn is.
#pragma once

#include <charconv>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outboxx {

struct Lsn {
  std::uint64_t value = 0;  // 0 is PostgreSQL's InvalidXLogRecPtr: no position

  friend constexpr auto operator<=>(Lsn, Lsn) = default;
};

// Appends "16/B374D848": upper-case hex without padding, both halves.
inline void append_lsn(std::string& out, Lsn lsn) {
  const auto append_half = [&out](std::uint32_t half) {
    char digits[8];
    const char* const end = std::to_chars(digits, digits + sizeof digits, half, 16).ptr;
    for (const char* digit = digits; digit != end; ++digit) {
      out.push_back(*digit >= 'a' ? static_cast<char>(*digit - 'a' + 'A') : *digit);
    }
  };
  append_half(static_cast<std::uint32_t>(lsn.value >> 32));
  out.push_back('/');
  append_half(static_cast<std::uint32_t>(lsn.value));
}

[[nodiscard]] inline std::string to_string(Lsn lsn) {
  std::string out;
  append_lsn(out, lsn);
  return out;
}

// Nothing if text is not two hex numbers of at most 32 bits with a slash between.
[[nodiscard]] inline std::optional<Lsn> parse_lsn(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto parse_half = [](std::string_view half) -> std::optional<std::uint64_t> {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(half.data(), half.data() + half.size(), number, 16);
    if (error != std::errc() || end != half.data() + half.size()) {
      return std::nullopt;
    }
    return number;
  };
  const auto high = parse_half(text.substr(0, slash));
  const auto low = parse_half(text.substr(slash + 1));
  if (!high || !low) {
    return std::nullopt;
  }
  return Lsn{*high << 32 | *low};
}

}  // namespace outboxx
