#include "postgres/binary_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/lsn.h"
#include "postgres/binary_text_types.h"

namespace outboxx {

enum class Needs : std::uint8_t { kNothing, kUtc };

struct BinaryType {
  std::uint32_t oid = 0;
  const char* name = nullptr;
  std::uint8_t length = 0;  // 0: any
  binary_text::TextFunction text = nullptr;
  // The versions of the server whose text this is: [first_version, end_version).
  int first_version = 0;
  int end_version = std::numeric_limits<int>::max();
  Needs needs = Needs::kNothing;
};

namespace {

using binary_text::load;
using binary_text::Text;
using binary_text::write_hex;
using binary_text::write_text;

constexpr int kVersionWithCharEscapes = 160000;  // "char" beyond ASCII is \ooo
constexpr int kVersionWithInfiniteInterval = 170000;
constexpr int kVersionWithPaddedLsn = 190000;

Text same_text(std::string_view bytes, std::string& /*scratch*/) {
  return bytes;
}

// A version number before the text.
Text jsonb_text(std::string_view bytes, std::string& /*scratch*/) {
  constexpr char kVersion = 1;
  if (bytes.empty() || bytes.front() != kVersion) {
    return {};
  }
  return bytes.substr(1);
}

Text bool_text(std::string_view bytes, std::string& /*scratch*/) {
  return bytes.front() != 0 ? "t" : "f";
}

template <typename Wire, typename Integer>
Text integer_text(std::string_view bytes, std::string& scratch) {
  constexpr std::size_t kSizeMax = 20;
  return write_text(scratch, kSizeMax, [bytes](char* out) {
    return std::to_chars(out, out + kSizeMax, static_cast<Integer>(load<Wire>(bytes))).ptr;
  });
}

// charout(): a zero byte is the empty string.
Text char_text(std::string_view bytes, std::string& scratch) {
  const auto byte = static_cast<unsigned char>(bytes.front());
  if (byte == 0) {
    return "";
  }
  if (byte < 0x80) {
    return bytes;
  }
  return write_text(scratch, 4, [byte](char* out) {
    *out++ = '\\';
    for (const int shift : {6, 3, 0}) {
      *out++ = static_cast<char>('0' + (byte >> shift & 7));
    }
    return out;
  });
}

Text bytea_text(std::string_view bytes, std::string& scratch) {
  return write_text(scratch, 2 + bytes.size() * 2,
                    [bytes](char* out) { return write_hex(binary_text::write_literal(out, "\\x"), bytes); });
}

Text uuid_text(std::string_view bytes, std::string& scratch) {
  return write_text(scratch, 36, [bytes](char* out) {
    out = write_hex(out, bytes.substr(0, 4));
    for (const std::size_t offset : {4U, 6U, 8U}) {
      *out++ = '-';
      out = write_hex(out, bytes.substr(offset, 2));
    }
    *out++ = '-';
    return write_hex(out, bytes.substr(10));
  });
}

Text pg_lsn_text(std::string_view bytes, std::string& scratch) {
  scratch.clear();
  append_lsn(scratch, Lsn{load<std::uint64_t>(bytes)});
  return scratch;
}

// In the order of the OIDs, which never change for built-in types (PostgreSQL: src/include/catalog/pg_type.dat).
constexpr BinaryType kTypes[] = {
    {16, "bool", 1, bool_text},
    {17, "bytea", 0, bytea_text},
    {.oid = 18, .name = "\"char\"", .length = 1, .text = char_text, .first_version = kVersionWithCharEscapes},
    {19, "name", 0, same_text},
    {20, "bigint", 8, integer_text<std::uint64_t, std::int64_t>},
    {21, "smallint", 2, integer_text<std::uint16_t, std::int16_t>},
    {23, "integer", 4, integer_text<std::uint32_t, std::int32_t>},
    {25, "text", 0, same_text},
    {26, "oid", 4, integer_text<std::uint32_t, std::uint32_t>},
    {114, "json", 0, same_text},
    {650, "cidr", 0, binary_text::cidr_text},
    {700, "real", 4, binary_text::float4_text},
    {701, "double precision", 8, binary_text::float8_text},
    {774, "macaddr8", 8, binary_text::macaddr_text},
    {829, "macaddr", 6, binary_text::macaddr_text},
    {869, "inet", 0, binary_text::inet_text},
    {1042, "character", 0, same_text},
    {1043, "character varying", 0, same_text},
    {1082, "date", 4, binary_text::date_text},
    {1083, "time", 8, binary_text::time_text},
    {1114, "timestamp", 8, binary_text::timestamp_text},
    {.oid = 1184, .name = "timestamptz", .length = 8, .text = binary_text::timestamptz_utc_text, .needs = Needs::kUtc},
    {.oid = 1186,
     .name = "interval",
     .length = 16,
     .text = binary_text::finite_interval_text,
     .end_version = kVersionWithInfiniteInterval},
    {.oid = 1186,
     .name = "interval",
     .length = 16,
     .text = binary_text::interval_text,
     .first_version = kVersionWithInfiniteInterval},
    {1266, "timetz", 12, binary_text::timetz_text},
    {1700, "numeric", 0, binary_text::numeric_text},
    {2950, "uuid", 16, uuid_text},
    {.oid = 3220, .name = "pg_lsn", .length = 8, .text = pg_lsn_text, .end_version = kVersionWithPaddedLsn},
    {3802, "jsonb", 0, jsonb_text},
};
static_assert(std::ranges::is_sorted(kTypes, {}, &BinaryType::oid));

// The names under which UTC is known, so that its offset is "+00" at all times.
bool is_utc(std::string_view time_zone) {
  return time_zone == "UTC" || time_zone == "Etc/UTC" || time_zone == "GMT" || time_zone == "Etc/GMT";
}

[[gnu::cold]] std::unexpected<Error> malformed(const BinaryType& type, std::size_t length) {
  return fail(ErrorCode::kProtocol, fmt::format("could not decode binary value of type {} (length {})", type.name, length));
}

}  // namespace

const BinaryType* find_binary_type(std::uint32_t type_oid, const BinaryTextFacts& facts) {
  const auto* const type = std::ranges::find_if(kTypes, [&](const BinaryType& row) {
    return row.oid == type_oid && row.first_version <= facts.server_version && facts.server_version < row.end_version &&
           (row.needs != Needs::kUtc || is_utc(facts.time_zone));
  });
  return type != std::end(kTypes) ? type : nullptr;
}

Result<std::string_view> text_of(const BinaryType& type, std::string_view bytes, std::string& scratch) {
  if (type.length != 0 && bytes.size() != type.length) [[unlikely]] {
    return malformed(type, bytes.size());
  }
  const Text text = type.text(bytes, scratch);
  if (text.data() == nullptr) [[unlikely]] {
    return malformed(type, bytes.size());
  }
  return text;
}

}  // namespace outboxx
