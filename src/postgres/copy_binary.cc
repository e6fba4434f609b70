// COPY in binary format (PostgreSQL documentation, COPY; the server's writer: src/backend/commands/copyto.c). Integers are
// big-endian.
//
//   stream   header row* trailer
//   header   "PGCOPY\n" 0xFF "\r\n" 0x00 flags:Int32 length:Int32 extension:Byte{length}
//   row      count:Int16 (length:Int32 Byte{length} | length:Int32(-1)){count}
//   trailer  count:Int16(-1)
//
// The server puts the header in front of the first row, or of the trailer, in the same CopyData. Flags 16 to 31 are critical: a
// reader must refuse those that it does not know, and there is none to know any more.
#include "postgres/copy_binary.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_reader.h"
#include "base/error.h"
#include "model/change.h"
#include "postgres/binary_text.h"

namespace outboxx {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view kSignature = "PGCOPY\n\xFF\r\n\0"sv;
constexpr std::uint32_t kCriticalFlags = 0xFFFF0000;
constexpr std::int16_t kTrailer = -1;
constexpr std::int32_t kNull = -1;

[[gnu::cold]] std::unexpected<Error> decode_failure(std::string_view data, const ByteReader& reader) {
  return fail(ErrorCode::kProtocol, fmt::format("could not decode binary COPY message (length {}): {} after {} bytes",
                                                data.size(), reader.failure(), reader.position()));
}

}  // namespace

CopyDecoder::CopyDecoder(std::vector<const BinaryType*> types)
    : types_(std::move(types)), scratch_(types_.size()), values_(types_.size()) {}

Result<std::optional<Tuple>> CopyDecoder::decode(std::string_view data) {
  ByteReader reader(data);
  std::optional<Tuple> row;
  if (state_ == State::kHeader) {
    read_header(reader);
  } else if (state_ == State::kDone) {
    reader.fail("data after the trailer");
  }
  if (reader.remaining() != 0) {
    const auto count = static_cast<std::int16_t>(reader.read_u16());
    if (count == kTrailer) {
      state_ = State::kDone;
    } else if (std::cmp_not_equal(count, types_.size())) {
      reader.fail("unexpected number of columns");
    } else {
      TRY(read_row(reader));
      row = values_;
    }
  }
  if (reader.remaining() != 0) {
    reader.fail("trailing bytes");
  }
  if (reader.failed()) [[unlikely]] {
    return decode_failure(data, reader);
  }
  return row;
}

void CopyDecoder::read_header(ByteReader& reader) {
  if (reader.read_bytes(kSignature.size()) != kSignature) {
    reader.fail("no signature of binary COPY");
  }
  if ((reader.read_u32() & kCriticalFlags) != 0) {
    reader.fail("unknown flags");
  }
  reader.read_bytes(reader.read_u32());
  state_ = State::kRows;
}

// On a copy of the reader, whose members stay in registers. A failing read ends the row: the caller sees it.
Result<> CopyDecoder::read_row(ByteReader& shared) {
  ByteReader reader = shared;
  for (std::size_t column = 0; column < types_.size(); ++column) {
    const std::int32_t length = reader.read_i32();
    if (length == kNull) {
      values_[column] = {};
      continue;
    }
    if (length < 0) {
      reader.fail("negative length");
    }
    std::string_view bytes = reader.read_bytes(static_cast<std::size_t>(length));
    if (reader.failed()) {
      break;
    }
    if (const BinaryType* const type = types_[column]) {
      auto text = text_of(*type, bytes, scratch_[column]);
      if (!text) [[unlikely]] {
        return fail_with_context(fmt::format("column {} of binary COPY", column + 1), std::move(text).error());
      }
      bytes = *text;
    }
    values_[column] = {.kind = ValueKind::kText, .bytes = bytes};
  }
  shared = reader;
  return {};
}

Result<> CopyDecoder::finish() const {
  if (state_ != State::kDone) {
    return fail(ErrorCode::kProtocol, "binary COPY ended without its trailer");
  }
  return {};
}

}  // namespace outboxx
