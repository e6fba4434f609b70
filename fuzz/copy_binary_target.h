// What must hold of binary COPY for any bytes; a violation aborts.
#pragma once

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/byte_reader.h"
#include "base/check.h"
#include "base/error.h"
#include "model/change.h"
#include "postgres/binary_text.h"
#include "postgres/copy_binary.h"

namespace outboxx::fuzz {

inline bool lies_in(std::string_view view, std::string_view bytes) {
  return view.data() >= bytes.data() && view.data() + view.size() <= bytes.data() + bytes.size();
}

// What is no view into the message was made here: printable ASCII, and as long as the contract allows.
inline void check_made_text(std::string_view text, std::size_t message_size) {
  CHECK(std::ranges::all_of(text, [](char character) { return character >= ' ' && character <= '~'; }));
  CHECK(text.size() <= std::max<std::size_t>(150'000, 2 * message_size + 2));
}

// The text of a float reads back as the same bits.
template <typename Float, typename Bits>
void check_float(std::uint32_t type_oid, std::string_view input) {
  const BinaryType* const type = find_binary_type(type_oid, {.server_version = 180000, .time_zone = "UTC"});
  ByteReader reader(input);
  const std::string_view bytes = reader.read_bytes(sizeof(Bits));
  Bits bits = 0;
  for (const char byte : bytes) {
    bits = static_cast<Bits>(bits << 8 | static_cast<unsigned char>(byte));
  }
  const auto value = std::bit_cast<Float>(bits);
  if (reader.failed() || !std::isfinite(value)) {
    return;
  }
  std::string scratch;
  const auto text = text_of(*type, bytes, scratch);
  CHECK(text);
  Float read_back = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), read_back);
  CHECK(error == std::errc() && end == text->data() + text->size() && std::bit_cast<Bits>(read_back) == bits);
}

// Input: the number of columns, the OID of each in two bytes, then messages, each after its length in two bytes.
// Returns the number of rows.
inline std::size_t fuzz_copy_binary(std::string_view input) {
  check_float<float, std::uint32_t>(700, input);
  check_float<double, std::uint64_t>(701, input);
  ByteReader frames(input);
  std::vector<std::uint32_t> oids(frames.read_u8());
  std::vector<const BinaryType*> types;
  types.reserve(oids.size());
  for (std::uint32_t& oid : oids) {
    oid = frames.read_u16();
    types.push_back(find_binary_type(oid, {.server_version = 180000, .time_zone = "UTC"}));
  }
  CopyDecoder decoder(types);
  std::size_t rows = 0;
  while (frames.remaining() > 0) {
    const std::string_view message = frames.read_bytes(frames.read_u16());
    const auto row = decoder.decode(message);
    if (!row) {
      CHECK(row.error().code == ErrorCode::kProtocol && !row.error().message.empty());
      continue;
    }
    if (!*row) {
      continue;
    }
    ++rows;
    CHECK((*row)->size() == oids.size());
    for (std::size_t column = 0; column < oids.size(); ++column) {
      const Value& value = (**row)[column];
      CHECK(value.kind == ValueKind::kText || (value.kind == ValueKind::kNull && value.bytes.empty()));
      if (value.kind == ValueKind::kText && !lies_in(value.bytes, message)) {
        check_made_text(value.bytes, message.size());
      }
    }
  }
  return rows;
}

}  // namespace outboxx::fuzz
