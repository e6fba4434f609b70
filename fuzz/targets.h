// The bodies of the fuzz targets, so that an ordinary test can replay seeds through them. A broken promise ends the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

#include "base/byte_reader.h"
#include "base/check.h"
#include "base/lsn.h"
#include "model/change.h"
#include "model/relation.h"
#include "postgres/pgoutput.h"
#include "postgres/pgoutput_testing.h"
#include "postgres/relation_cache.h"

namespace outboxx::fuzz {

// Reads every byte, so that AddressSanitizer sees a view that points elsewhere.
inline std::size_t touch(std::string_view bytes) {
  std::size_t sum = 0;
  for (const char byte : bytes) {
    sum += static_cast<unsigned char>(byte);
  }
  return sum;
}

inline std::size_t touch_row(const RelationCache& relations, std::uint32_t oid, Tuple tuple) {
  const Relation* const relation = relations.find(oid);
  if (relation == nullptr || relation->columns.size() != tuple.size()) {
    return 0;
  }
  std::size_t sum = 0;
  for (std::size_t index = 0; index < tuple.size(); ++index) {
    CHECK(!tuple[index].bytes.empty() || tuple[index].kind != ValueKind::kNull || tuple[index].bytes.data() == nullptr);
    sum += touch(relation->columns[index].name) + touch(tuple[index].bytes);
  }
  return sum;
}

inline std::size_t use_message(RelationCache& relations, const pgoutput::Message& message) {
  std::size_t sum = 0;
  if (const auto* const relation = std::get_if<pgoutput::RelationDescription>(&message)) {
    const Relation& cached = relations.update(*relation);
    CHECK(cached.version != 0 && cached.columns.size() == relation->columns.size());
  } else if (const auto* const insert = std::get_if<pgoutput::Insert>(&message)) {
    sum += touch_row(relations, insert->relation_oid, insert->new_row);
  } else if (const auto* const update = std::get_if<pgoutput::Update>(&message)) {
    CHECK(update->old_row_kind != OldRowKind::kNone || update->old_row.empty());
    sum += touch_row(relations, update->relation_oid, update->old_row);
    sum += touch_row(relations, update->relation_oid, update->new_row);
  } else if (const auto* const deletion = std::get_if<pgoutput::Delete>(&message)) {
    CHECK(deletion->old_row_kind != OldRowKind::kNone);
    sum += touch_row(relations, deletion->relation_oid, deletion->old_row);
  }
  return sum;
}

// Input: messages, each after its length in two bytes, given to one decoder and one relation cache as a session would.
// Returns the number of messages that were decoded.
inline std::size_t fuzz_pgoutput(std::string_view input) {
  pgoutput::Decoder decoder;
  RelationCache relations;
  ByteReader frames(input);
  std::size_t decoded = 0;
  volatile std::size_t sink = 0;  // keeps the compiler from dropping the reads
  while (frames.remaining() > 0) {
    const std::string_view data = frames.read_bytes(frames.read_u16());
    if (frames.failed()) {
      break;
    }
    const auto message = decoder.decode(data, Lsn{input.size()});
    if (!message) {
      CHECK(message.error().code == ErrorCode::kProtocol);
      continue;
    }
    CHECK(pgoutput::ViewCheck(data).holds(**message));
    sink = sink + use_message(relations, **message);
    ++decoded;
  }
  return decoded;
}

// One read of the kind that operation asks for, checked against what is left. Returns the bytes it should have consumed.
inline std::size_t fuzz_read(ByteReader& reader, std::uint8_t operation, std::string_view left) {
  const std::size_t size = operation / 8;
  switch (operation % 8) {
    case 0:
      reader.read_u8();
      return 1;
    case 1:
      reader.read_u16();
      return 2;
    case 2:
      reader.read_u32();
      return 4;
    case 3:
      reader.read_u64();
      return 8;
    case 4: {
      const std::string_view bytes = reader.read_bytes(size);
      CHECK(reader.failed() ? bytes.empty() : bytes == left.substr(0, size));
      return size;
    }
    case 5: {
      const std::string_view text = reader.read_cstring();
      CHECK(reader.failed() ? text.empty() : text == left.substr(0, left.find('\0')));
      return left.find('\0') == std::string_view::npos ? left.size() + 1 : text.size() + 1;
    }
    case 6: {
      const std::uint32_t length = reader.read_u32();  // as a lying length would
      const std::string_view bytes = reader.read_bytes(length);
      CHECK(bytes.size() == (reader.failed() ? 0 : length));
      return std::size_t{4} + length;
    }
    default:
      reader.read_i32();
      return 4;
  }
}

// Input: one byte for the number of operations, a byte for each of them, and the buffer they read.
inline void fuzz_byte_reader(std::string_view input) {
  if (input.empty()) {
    return;
  }
  const std::size_t count = static_cast<unsigned char>(input[0]);
  const std::string_view operations = input.substr(1, count);
  const std::string_view buffer = input.substr(1 + operations.size());
  ByteReader reader(buffer);
  for (const char operation : operations) {
    const std::size_t before = reader.position();
    const bool had_failed = reader.failed();
    const std::string_view left = buffer.substr(before, reader.remaining());
    const std::size_t wanted = fuzz_read(reader, static_cast<std::uint8_t>(operation), left);
    CHECK(reader.failed() == (had_failed || wanted > left.size()));
    CHECK(reader.failed() ? reader.remaining() == 0 : reader.position() == before + wanted);
    CHECK(reader.failed() || reader.position() + reader.remaining() == buffer.size());
  }
}

}  // namespace outboxx::fuzz
