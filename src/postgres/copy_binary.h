// CopyDecoder: the CopyData messages of COPY ... TO STDOUT (FORMAT binary) as rows of text values.
// Format: PostgreSQL documentation, COPY, "Binary Format"; grammar in copy_binary.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_reader.h"
#include "base/error.h"
#include "model/change.h"
#include "postgres/binary_text.h"

namespace outboxx {

// One COPY. Keeps the memory of the largest text that it made for each column, so that it stops allocating.
class CopyDecoder {
 public:
  // A type for each column of the COPY, in its order; nullptr for a column that the statement selects as text.
  explicit CopyDecoder(std::vector<const BinaryType*> types);

  // One CopyData, whole: the server sends one row in each (PostgreSQL documentation, "Message Flow", COPY Operations).
  // Returns its row, with values of kText and kNull alone; nothing for a message that is only header or trailer. The row points
  // into this decoder and into data: valid until the next decode() and as long as data is. Malformed data is a kProtocol error
  // that names the column, its type and the length; nothing outside data is read.
  [[nodiscard]] Result<std::optional<Tuple>> decode(std::string_view data);

  // To be asked at CopyDone: a kProtocol error if the trailer has not come.
  [[nodiscard]] Result<> finish() const;

 private:
  enum class State : std::uint8_t { kHeader, kRows, kDone };

  void read_header(ByteReader& reader);
  [[nodiscard]] Result<> read_row(ByteReader& reader);

  std::vector<const BinaryType*> types_;
  std::vector<std::string> scratch_;  // one per column: the texts of a row live together
  std::vector<Value> values_;
  State state_ = State::kHeader;
};

}  // namespace outboxx
