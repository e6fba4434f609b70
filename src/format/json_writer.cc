#include "format/json_writer.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace outboxx {
namespace {

// Room is made for the worst case of one chunk at a time, so that a value of 1 GB does not ask for 6.
constexpr std::size_t kChunkSize = 1024;
constexpr std::size_t kEscapeSizeMax = 6;  // \u00xx

constexpr std::size_t kInteger8DigitsMax = 19;
// Decimals of so many digits stand for doubles that differ (DBL_DIG), so none of them has a shorter one for the same double.
constexpr std::size_t kDistinctDigits = 15;
constexpr std::size_t kFloat8SizeMax = 32;
// Those of a float8 are -324 and 308. It bounds the zeros that a text of a few bytes can ask for.
constexpr int kExponentMax = 400;

bool needs_escape(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\';
}

char* write_short_escape(char* out, char letter) {
  out[0] = '\\';
  out[1] = letter;
  return out + 2;
}

[[gnu::noinline]] char* write_control_escape(char* out, char c) {
  const std::size_t letter = std::string_view("\b\t\n\f\r").find(c);
  if (letter != std::string_view::npos) {
    return write_short_escape(out, "btnfr"[letter]);
  }
  std::string_view("\\u00").copy(out, 4);
  out[4] = c < 0x10 ? '0' : '1';
  out[5] = "0123456789abcdef"[c & 15];
  return out + kEscapeSizeMax;
}

char* write_escape(char* out, char c) {
  return c == '"' || c == '\\' ? write_short_escape(out, c) : write_control_escape(out, c);
}

char* write_escaped_bytewise(char* out, std::string_view text) {
  for (const char c : text) {
    if (needs_escape(c)) {
      out = write_escape(out, c);
    } else {
      *out++ = c;
    }
  }
  return out;
}

#ifdef __SSE2__

constexpr std::size_t kBlockSize = 16;

// A bit for each byte that needs an escape.
unsigned escape_mask(__m128i block) {
  const __m128i is_quote = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));
  const __m128i is_backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));
  const __m128i is_control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1F)), block);  // an unsigned <=
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(is_control, _mm_or_si128(is_quote, is_backslash))));
}

template <typename Word>
Word load(const char* from) {
  Word word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Fewer than 16 bytes. Two words that overlap cover them all; if none needs an escape, two stores do.
char* write_escaped_tail(char* out, std::string_view text) {
  const auto write_clean = [&]<typename Word>(Word first, Word last, unsigned mask) {
    if (mask != 0) {
      return write_escaped_bytewise(out, text);
    }
    std::memcpy(out, &first, sizeof first);
    std::memcpy(out + text.size() - sizeof last, &last, sizeof last);
    return out + text.size();
  };
  const char* const end = text.data() + text.size();
  if (text.size() >= 8) {
    const auto first = load<std::int64_t>(text.data());
    const auto last = load<std::int64_t>(end - 8);
    return write_clean(first, last, escape_mask(_mm_set_epi64x(last, first)));
  }
  if (text.size() >= 4) {
    const auto first = load<std::int32_t>(text.data());
    const auto last = load<std::int32_t>(end - 4);
    return write_clean(first, last, escape_mask(_mm_set_epi32(last, first, last, first)));
  }
  return write_escaped_bytewise(out, text);
}

__m128i load_block(const char* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

void store_block(char* to, __m128i block) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), block);
}

// A block in which mask tells what needs an escape. Reads another block behind it.
char* write_dirty_block(char* out, const char* block, unsigned mask) {
  std::size_t written = 0;
  for (; mask != 0; mask &= mask - 1) {
    const auto position = static_cast<std::size_t>(std::countr_zero(mask));
    out = write_escape(out + (position - written), block[position]);
    written = position + 1;
    store_block(out, load_block(block + written));
  }
  return out + (kBlockSize - written);
}

// The room behind out is that of the worst case, so whole blocks can be stored before it is known how much of them counts.
char* write_escaped(char* out, std::string_view text) {
  while (text.size() >= kBlockSize) {
    const __m128i block = load_block(text.data());
    const unsigned mask = escape_mask(block);
    store_block(out, block);
    if (mask == 0) {
      out += kBlockSize;
    } else if (text.size() >= 2 * kBlockSize) {
      out = write_dirty_block(out, text.data(), mask);
    } else {
      out = write_escaped_bytewise(out, text.substr(0, kBlockSize));
    }
    text.remove_prefix(kBlockSize);
  }
  return write_escaped_tail(out, text);
}

#else

char* write_escaped(char* out, std::string_view text) {
  return write_escaped_bytewise(out, text);
}

#endif

std::string_view take_digits(std::string_view& text) {
  std::size_t size = 0;
  while (size < text.size() && text[size] >= '0' && text[size] <= '9') {
    ++size;
  }
  const std::string_view digits = text.substr(0, size);
  text.remove_prefix(size);
  return digits;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

struct Decimal {
  bool negative = false;
  std::string_view whole;
  std::string_view fraction;
  std::optional<int> exponent;
};

// All of what follows the e. Nothing if it is no number or beyond the bound.
std::optional<int> parse_exponent(std::string_view text) {
  if (take(text, '+') && text.starts_with('-')) {
    return std::nullopt;
  }
  int exponent = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, exponent);
  if (error != std::errc() || stop != end || exponent < -kExponentMax || exponent > kExponentMax) {
    return std::nullopt;
  }
  return exponent;
}

// Numbers as JSON allows them: no leading zeros, a digit on both sides of a point.
std::optional<Decimal> parse_decimal(std::string_view text) {
  Decimal decimal;
  decimal.negative = take(text, '-');
  decimal.whole = take_digits(text);
  if (decimal.whole.empty() || (decimal.whole.size() > 1 && decimal.whole.front() == '0')) {
    return std::nullopt;
  }
  if (take(text, '.')) {
    decimal.fraction = take_digits(text);
    if (decimal.fraction.empty()) {
      return std::nullopt;
    }
  }
  if (take(text, 'e')) {
    decimal.exponent = parse_exponent(text);
    // With a leading zero the digits would not start where the number does.
    return decimal.exponent && decimal.whole.front() != '0' ? std::optional(decimal) : std::nullopt;
  }
  return text.empty() ? std::optional(decimal) : std::nullopt;
}

// The server shuns digits exactly between two doubles, where reading rounds to even; v0 took them if they were fewer: 1e+23
// for 9.999999999999999e+22.
std::string_view shortest_float8(std::string_view text, std::span<char> buffer) {
  double number = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) {
    return text;  // beyond a double
  }
  const auto written = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::scientific);
  return {buffer.data(), written.ptr};
}

void append_zeros(std::string& out, std::ptrdiff_t count) {
  out.append(static_cast<std::size_t>(count), '0');
}

// The digits of whole and fraction with the point after the first `point` of them, which may be outside them on either side.
void append_shifted(std::string& out, const Decimal& decimal, std::ptrdiff_t point) {
  if (point <= 0) {
    out.append("0.");
    append_zeros(out, -point);
    out.append(decimal.whole).append(decimal.fraction);
    return;
  }
  const std::size_t begin = out.size();
  out.append(decimal.whole).append(decimal.fraction);
  const auto digits = static_cast<std::ptrdiff_t>(out.size() - begin);
  if (point >= digits) {
    append_zeros(out, point - digits);
  } else {
    out.insert(begin + static_cast<std::size_t>(point), 1, '.');
  }
}

// The size of the well-formed sequence at the front of text, or 0; then `bad` is the size of the maximal ill-formed part.
// Table 3-7 of the Unicode standard: only the second byte has a range that depends on the first.
std::size_t utf8_sequence_size(std::string_view text, std::size_t& bad) {
  const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned first = byte(0);
  bad = 1;
  if (first < 0x80) {
    return 1;
  }
  if (first < 0xC2 || first > 0xF4) {
    return 0;
  }
  const std::size_t size = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  const unsigned second_min = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;  // overlong otherwise
  const unsigned second_max = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;  // surrogates, beyond U+10FFFF
  if (text.size() < 2 || byte(1) < second_min || byte(1) > second_max) {
    return 0;
  }
  for (bad = 2; bad < size; ++bad) {
    if (bad == text.size() || (byte(bad) & 0xC0) != 0x80) {
      return 0;
    }
  }
  return size;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text, std::string_view prefix) {
  const std::string_view first = text.substr(0, kChunkSize);
  const std::size_t used = out.size();
  out.resize_and_overwrite(used + prefix.size() + first.size() * kEscapeSizeMax + 2, [&](char* begin, std::size_t) {
    char* next = begin + used;
    std::memcpy(next, prefix.data(), prefix.size());
    next += prefix.size();
    *next++ = '"';
    next = write_escaped(next, first);
    *next++ = '"';
    return next - begin;
  });
  text.remove_prefix(first.size());
  if (!text.empty()) {
    out.reserve(out.size() + text.size() + text.size() / 16);  // at once: doubling would hold a large text almost three times
  }
  while (!text.empty()) {
    const std::string_view chunk = text.substr(0, kChunkSize);
    const std::size_t closing_quote = out.size() - 1;
    out.resize_and_overwrite(closing_quote + chunk.size() * kEscapeSizeMax + 1, [&](char* begin, std::size_t) {
      char* const end = write_escaped(begin + closing_quote, chunk);
      *end = '"';
      return end + 1 - begin;
    });
    text.remove_prefix(chunk.size());
  }
}

bool append_json_integer(std::string& out, std::string_view text) {
  std::string_view rest = text;
  take(rest, '-');
  const std::string_view digits = take_digits(rest);
  if (!rest.empty() || digits.empty() || digits.size() > kInteger8DigitsMax || (digits.size() > 1 && digits.front() == '0')) {
    return false;
  }
  out.append(text);
  return true;
}

bool append_plain_decimal(std::string& out, std::string_view text) {
  std::optional<Decimal> decimal = parse_decimal(text);
  if (!decimal) {
    return false;
  }
  if (!decimal->exponent) {
    out.append(text);
    return true;
  }
  std::array<char, kFloat8SizeMax> buffer{};
  if (decimal->whole.size() + decimal->fraction.size() > kDistinctDigits) {
    decimal = parse_decimal(shortest_float8(text, buffer));
  }
  if (decimal->negative) {
    out.push_back('-');
  }
  append_shifted(out, *decimal, static_cast<std::ptrdiff_t>(decimal->whole.size()) + *decimal->exponent);
  return true;
}

bool is_utf8(std::string_view text) {
  for (std::size_t bad = 0; !text.empty();) {
    const std::size_t size = utf8_sequence_size(text, bad);
    if (size == 0) {
      return false;
    }
    text.remove_prefix(size);
  }
  return true;
}

void append_as_utf8(std::string& out, std::string_view text) {
  for (std::size_t bad = 0; !text.empty();) {
    const std::size_t size = utf8_sequence_size(text, bad);
    if (size == 0) {
      out.append("\xEF\xBF\xBD");
    } else {
      out.append(text, 0, size);
    }
    text.remove_prefix(size == 0 ? bad : size);
  }
}

}  // namespace outboxx
