// float4, float8 and numeric.
//
//   float4, float8  IEEE 754
//   numeric         count:Int16 weight:Int16 sign:Int16 scale:Int16 group:Int16{count}
//
// A group has four decimal digits; the first one stands for group * 10000^weight. Groups of zeros at either end are left out.
// sign: 0x0000 +, 0x4000 -, 0xC000 NaN, 0xD000 Infinity, 0xF000 -Infinity (14 and later).
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include "base/byte_reader.h"
#include "postgres/binary_text_types.h"

namespace outboxx::binary_text {
namespace {

// digits * 10^power, the digits without trailing zeros.
struct Decimal {
  std::uint64_t digits = 0;
  int power = 0;
};

template <typename Float>
struct Format;
template <>
struct Format<float> {
  using Bits = std::uint32_t;
  static constexpr int kFixedEnd = 6;  // 10^6 is written with an exponent (PostgreSQL: common/f2s.c, to_chars)
};
template <>
struct Format<double> {
  using Bits = std::uint64_t;
  static constexpr int kFixedEnd = 15;  // the same in common/d2s.c
};
constexpr int kFixedFirst = -4;
constexpr std::size_t kFloatSizeMax = 32;

// "-1.234e-05", as std::to_chars writes it.
Decimal read_scientific(const char* begin, const char* end) {
  Decimal decimal;
  const char* next = begin;
  int places = 0;
  for (bool after_point = false; *next != 'e'; ++next) {
    if (*next == '.') {
      after_point = true;
      continue;
    }
    decimal.digits = decimal.digits * 10 + static_cast<std::uint64_t>(*next - '0');
    places += after_point ? 1 : 0;
  }
  next += next[1] == '+' ? 2 : 1;
  std::from_chars(next, end, decimal.power);
  decimal.power -= places;
  return decimal;
}

// Whether the decimal lies exactly in the middle between value and one of its neighbours.
template <typename Float>
bool is_midpoint(const Decimal& decimal, Float value) {
  constexpr int kFractionBits = std::numeric_limits<Float>::digits - 1;
  constexpr int kBias = std::numeric_limits<Float>::max_exponent - 1 + kFractionBits;
  constexpr int kPowerMax = 27;  // 5^27 is the last one in 64 bits, and more than a midpoint's odd factor has
  const auto bits = static_cast<std::uint64_t>(std::bit_cast<typename Format<Float>::Bits>(value));
  const auto biased = static_cast<int>(bits >> kFractionBits);
  const std::uint64_t fraction = bits & ((std::uint64_t{1} << kFractionBits) - 1);
  const std::uint64_t mantissa = biased == 0 ? fraction : fraction | std::uint64_t{1} << kFractionBits;
  // The midpoints are (2 * mantissa +- 1) * 2^exponent. Below a power of two there is another one, which no shortest decimal
  // hits: its odd factor is 2^54 - 1 or 2^25 - 1, not divisible by 5, so the decimal would have more digits than value.
  const int exponent = (biased == 0 ? 1 : biased) - kBias - 1;
  const int twos = std::countr_zero(decimal.digits);
  if (twos + decimal.power != exponent || std::abs(decimal.power) > kPowerMax) {
    return false;
  }
  std::uint64_t fives = 1;
  for (int count = std::abs(decimal.power); count > 0; --count) {
    fives *= 5;
  }
  const std::uint64_t odd = decimal.digits >> twos;
  const auto matches = [&](std::uint64_t middle) {
    return decimal.power >= 0 ? middle % fives == 0 && middle / fives == odd : odd % fives == 0 && odd / fives == middle;
  };
  return matches(2 * mantissa + 1) || matches(2 * mantissa - 1);
}

// The shortest digits between the two midpoints, and of these the nearest to value. The midpoints themselves also read back
// as value if its mantissa is even, so std::to_chars takes them; PostgreSQL never does (common/d2s.c, acceptBounds), because
// not every reader rounds them right.
template <typename Float>
Decimal shortest(Float value) {
  char buffer[kFloatSizeMax];
  char* const buffer_end = buffer + sizeof buffer;
  Decimal decimal = read_scientific(buffer, std::to_chars(buffer, buffer_end, value, std::chars_format::scientific).ptr);
  for (int precision = 0; is_midpoint(decimal, value) && precision < std::numeric_limits<Float>::max_digits10; ++precision) {
    const char* const end = std::to_chars(buffer, buffer_end, value, std::chars_format::scientific, precision).ptr;
    Float read_back = 0;
    std::from_chars(buffer, end, read_back);
    if (read_back == value) {
      decimal = read_scientific(buffer, end);
    }
  }
  return decimal;
}

// Where the exponent of the first digit lies in [kFixedFirst, fixed_end) without exponent, like printf's %g.
char* write_decimal(char* out, const Decimal& decimal, int fixed_end) {
  char digits[std::numeric_limits<std::uint64_t>::digits10 + 1];
  const auto count = static_cast<int>(std::to_chars(digits, digits + sizeof digits, decimal.digits).ptr - digits);
  const int exponent = decimal.power + count - 1;
  const bool fixed = exponent >= kFixedFirst && exponent < fixed_end;
  const std::string_view text(digits, static_cast<std::size_t>(count));
  if (fixed && exponent < 0) {
    out = write_literal(out, std::string_view("0.0000").substr(0, static_cast<std::size_t>(1 - exponent)));
    return write_literal(out, text);
  }
  const auto whole = static_cast<std::size_t>(fixed ? exponent + 1 : 1);
  out = write_literal(out, text.substr(0, whole));
  for (std::size_t zeros = text.size(); zeros < whole; ++zeros) {
    *out++ = '0';
  }
  if (text.size() > whole) {
    *out++ = '.';
    out = write_literal(out, text.substr(whole));
  }
  if (!fixed) {
    *out++ = 'e';
    *out++ = exponent < 0 ? '-' : '+';
    const auto size = static_cast<std::uint32_t>(std::abs(exponent));
    if (size >= 100) {
      *out++ = static_cast<char>('0' + size / 100);
    }
    out = write_two_digits(out, size % 100);
  }
  return out;
}

template <typename Float>
Text float_text(Float value, std::string& scratch) {
  if (std::isnan(value)) {
    return "NaN";
  }
  if (std::isinf(value)) {
    return value < 0 ? "-Infinity" : "Infinity";
  }
  return write_text(scratch, kFloatSizeMax, [value](char* out) {
    if (std::signbit(value)) {
      *out++ = '-';
    }
    if (value == 0) {
      *out++ = '0';
      return out;
    }
    return write_decimal(out, shortest(std::abs(value)), Format<Float>::kFixedEnd);
  });
}

// The groups of a numeric, zero where the wire leaves them out.
class Groups {
 public:
  explicit Groups(std::string_view bytes) : bytes_(bytes) {}

  [[nodiscard]] bool valid() const {
    for (std::size_t offset = 0; offset < bytes_.size(); offset += 2) {
      if (load<std::uint16_t>(bytes_, offset) > 9999) {
        return false;
      }
    }
    return true;
  }
  [[nodiscard]] std::uint32_t operator[](int index) const {
    const auto offset = static_cast<std::size_t>(index) * 2;  // a negative index lies beyond too
    return offset < bytes_.size() ? load<std::uint16_t>(bytes_, offset) : 0;
  }

 private:
  std::string_view bytes_;
};

char* write_group(char* out, std::uint32_t group) {
  return write_two_digits(write_two_digits(out, group / 100), group % 100);
}

// May write three characters beyond the end that it returns.
char* write_numeric(char* out, const Groups& groups, int weight, int scale) {
  if (weight < 0) {
    *out++ = '0';
  } else {
    out = std::to_chars(out, out + 4, groups[0]).ptr;
    for (int index = 1; index <= weight; ++index) {
      out = write_group(out, groups[index]);
    }
  }
  if (scale == 0) {
    return out;
  }
  *out++ = '.';
  char* const end = out + scale;
  for (int index = weight + 1; out < end; ++index) {
    out = write_group(out, groups[index]);
  }
  return end;
}

}  // namespace

Text float4_text(std::string_view bytes, std::string& scratch) {
  return float_text(std::bit_cast<float>(load<std::uint32_t>(bytes)), scratch);
}

Text float8_text(std::string_view bytes, std::string& scratch) {
  return float_text(std::bit_cast<double>(load<std::uint64_t>(bytes)), scratch);
}

Text numeric_text(std::string_view bytes, std::string& scratch) {
  constexpr std::uint16_t kNegative = 0x4000;
  constexpr int kScaleMax = 0x3FFF;  // (PostgreSQL: utils/adt/numeric.c, NUMERIC_DSCALE_MAX)
  ByteReader reader(bytes);
  const std::size_t count = reader.read_u16();
  const int weight = static_cast<std::int16_t>(reader.read_u16());
  const std::uint16_t sign = reader.read_u16();
  const int scale = reader.read_u16();
  const Groups groups(reader.read_bytes(count * 2));
  if (reader.failed() || reader.remaining() != 0 || !groups.valid() || scale > kScaleMax) {
    return {};
  }
  switch (sign) {
    case 0xC000:
      return "NaN";
    case 0xD000:
      return "Infinity";
    case 0xF000:
      return "-Infinity";
    case 0:
    case kNegative:
      break;
    default:
      return {};
  }
  const std::size_t size_max = 8 + static_cast<std::size_t>(weight < 0 ? 0 : weight + 1) * 4 + static_cast<std::size_t>(scale);
  return write_text(scratch, size_max, [&](char* out) {
    if (sign == kNegative) {
      *out++ = '-';
    }
    return write_numeric(out, groups, weight, scale);
  });
}

}  // namespace outboxx::binary_text
