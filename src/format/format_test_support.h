// For the tests of formats: rows as PostgreSQL sends them, and the messages that a format makes of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "format/format.h"
#include "model/change.h"
#include "model/record.h"
#include "model/relation.h"
#include "model/stream.h"

namespace outboxx::format_test {

inline constexpr std::uint32_t kBool = 16, kInt8 = 20, kInt2 = 21, kInt4 = 23, kText = 25, kFloat4 = 700, kFloat8 = 701;
inline constexpr std::uint32_t kOtherType = 16'400;  // of a user
inline constexpr bool kKey = true;

inline const Value kNull;
inline const Value kUnchanged{.kind = ValueKind::kUnchangedToast, .bytes = {}};

// The bytes of the literal, or of a string that outlives the test.
inline Value text(std::string_view bytes) {
  return {.kind = ValueKind::kText, .bytes = bytes};
}

inline Column column(std::string name, std::uint32_t type_oid, bool is_key = false) {
  return {.name = std::move(name), .type_oid = type_oid, .type_modifier = -1, .is_key = is_key};
}

inline Relation relation(std::string schema, std::string name, std::vector<Column> columns) {
  static std::uint64_t version = 0;
  return {.oid = 16'384,
          .schema = std::move(schema),
          .name = std::move(name),
          .replica_identity = ReplicaIdentity::kDefault,
          .columns = std::move(columns),
          .version = ++version};
}

struct Row {
  std::vector<Value> values;
  OldRowKind kind = OldRowKind::kFull;  // of an old row
};

struct Message {
  std::string key;
  std::string value;
};

// Changes of one relation, and the messages they become.
class Table {
 public:
  explicit Table(Relation relation, std::string routing_key = "id", FormatOptions options = {})
      : relation_(std::move(relation)), format_(make_format(stream(std::move(routing_key)), options)) {
    at(1, Lsn{0x1A2B});
  }

  // The commit time of the next changes, and their LSN. A second is over when its last microsecond is.
  void at(std::int64_t second, Lsn lsn) {
    transaction_.commit_time = WallTime(std::chrono::seconds(second) + std::chrono::microseconds(999'999));
    lsn_ = lsn;
  }
  void describe(Relation relation) { relation_ = std::move(relation); }

  Result<Message> insert(const std::vector<Value>& row) { return serialize(Operation::kInsert, row, {{}, OldRowKind::kNone}); }
  Result<Message> read(const std::vector<Value>& row) { return serialize(Operation::kRead, row, {{}, OldRowKind::kNone}); }
  Result<Message> update(const std::vector<Value>& row, const Row& old_row = {{}, OldRowKind::kNone}) {
    return serialize(Operation::kUpdate, row, old_row);
  }
  Result<Message> remove(const Row& old_row) { return serialize(Operation::kDelete, {}, old_row); }

 private:
  static StreamConfig stream(std::string routing_key) {
    StreamConfig config;
    config.routing_key = std::move(routing_key);
    return config;
  }

  Result<Message> serialize(Operation operation, const std::vector<Value>& row, const Row& old_row) {
    const Change change{.operation = operation,
                        .relation = &relation_,
                        .new_row = row,
                        .old_row = old_row.values,
                        .old_row_kind = old_row.kind,
                        .transaction = &transaction_,
                        .lsn = lsn_,
                        .ordinal = 0};
    TRY(format_->serialize(change, record_));
    return Message{.key = record_.key, .value = record_.value};
  }

  Relation relation_;
  std::unique_ptr<Format> format_;
  Transaction transaction_;
  Lsn lsn_;
  Record record_;
};

}  // namespace outboxx::format_test
