// The parts of binary_text: one function per type, and what they share. Only for binary_text*.cc.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace outboxx::binary_text {

// As text_of() says: a view into bytes or into scratch. One that points nowhere says that bytes are malformed: this is called
// for each value, and an optional is not returned in registers.
using Text = std::string_view;
// Functions of types with one fixed length rely on it: text_of() has checked it.
using TextFunction = Text (*)(std::string_view bytes, std::string& scratch);

Text float4_text(std::string_view bytes, std::string& scratch);
Text float8_text(std::string_view bytes, std::string& scratch);
Text numeric_text(std::string_view bytes, std::string& scratch);

Text date_text(std::string_view bytes, std::string& scratch);
Text time_text(std::string_view bytes, std::string& scratch);
Text timetz_text(std::string_view bytes, std::string& scratch);
Text timestamp_text(std::string_view bytes, std::string& scratch);
Text timestamptz_utc_text(std::string_view bytes, std::string& scratch);
Text interval_text(std::string_view bytes, std::string& scratch);         // 17 and later: has infinities
Text finite_interval_text(std::string_view bytes, std::string& scratch);  // before

Text inet_text(std::string_view bytes, std::string& scratch);
Text cidr_text(std::string_view bytes, std::string& scratch);
Text macaddr_text(std::string_view bytes, std::string& scratch);  // macaddr and macaddr8

// A big-endian integer at offset, which lies in bytes.
template <typename Integer>
Integer load(std::string_view bytes, std::size_t offset = 0) {
  Integer number = 0;
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return std::endian::native == std::endian::big ? number : std::byteswap(number);
}

// Makes scratch what write(begin) puts there, which returns the end, at most size_max further on. In place: no copy, and no
// allocation once scratch has grown.
template <typename Write>
std::string_view write_text(std::string& scratch, std::size_t size_max, const Write& write) {
  scratch.resize_and_overwrite(size_max, [&write](char* begin, std::size_t) { return write(begin) - begin; });
  return scratch;
}

inline constexpr auto kTwoDigits = [] {
  std::array<char, 200> pairs{};
  for (std::size_t number = 0; number < 100; ++number) {
    pairs[number * 2] = static_cast<char>('0' + number / 10);
    pairs[number * 2 + 1] = static_cast<char>('0' + number % 10);
  }
  return pairs;
}();

// number < 100. Like all that follow: returns the end.
inline char* write_two_digits(char* out, std::uint32_t number) {
  std::memcpy(out, &kTwoDigits[std::size_t{number} * 2], 2);
  return out + 2;
}

inline char* write_literal(char* out, std::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

// Lower-case hex, two characters a byte.
inline char* write_hex(char* out, std::string_view bytes) {
  for (const char character : bytes) {
    const auto byte = static_cast<unsigned char>(character);
    *out++ = "0123456789abcdef"[byte >> 4];
    *out++ = "0123456789abcdef"[byte & 15];
  }
  return out;
}

}  // namespace outboxx::binary_text
