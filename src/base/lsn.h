// Lsn: a position in PostgreSQL's write-ahead log, in bytes. Written X/X, as pg_lsn is.
#pragma once

#include <algorithm>
#include <bit>
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

// Appends "16/B374D848": upper-case hex without padding, both halves. By hand and in one append: it runs once per record.
inline void append_lsn(std::string& out, Lsn lsn) {
  char text[17];
  char* end = text;
  const auto write_half = [&end](std::uint32_t half) {
    for (int shift = (std::max(static_cast<int>(std::bit_width(half)), 1) - 1) / 4 * 4; shift >= 0; shift -= 4) {
      *end++ = "0123456789ABCDEF"[half >> shift & 15];
    }
  };
  write_half(static_cast<std::uint32_t>(lsn.value >> 32));
  *end++ = '/';
  write_half(static_cast<std::uint32_t>(lsn.value));
  out.append(text, end);
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
