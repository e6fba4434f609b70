// Change: one committed row change, decoded. Its tuples are views into the bytes received: nothing is copied.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/lsn.h"
#include "base/time.h"
#include "model/relation.h"

namespace outboxx {

enum class Operation : std::uint8_t { kInsert, kUpdate, kDelete, kRead };

// The kinds of a column's value in a TupleData; the values are the protocol's bytes (PostgreSQL docs 55.9).
enum class ValueKind : char { kNull = 'n', kUnchangedToast = 'u', kText = 't', kBinary = 'b' };

struct Value {
  ValueKind kind = ValueKind::kNull;
  std::string_view bytes;  // empty for kNull and kUnchangedToast
};

// One value per column of the relation, in its order.
using Tuple = std::span<const Value>;

// What the server sent of the row before: for kKey, only the columns of the replica identity hold values.
enum class OldRowKind : std::uint8_t { kNone, kKey, kFull };

// What Begin says of the transaction that the change belongs to.
struct Transaction {
  Lsn final_lsn;  // start of the commit record: C(T)
  WallTime commit_time;
  std::uint32_t xid = 0;
};

// Valid as long as the received message that it was decoded from.
struct Change {
  Operation operation = Operation::kInsert;
  const Relation* relation = nullptr;
  Tuple new_row;  // empty for a delete
  Tuple old_row;  // empty for kNone
  OldRowKind old_row_kind = OldRowKind::kNone;
  const Transaction* transaction = nullptr;
  Lsn lsn;                    // XLogData start of this change
  std::uint64_t ordinal = 0;  // index of the change in its transaction, counted before routing
};

}  // namespace outboxx
