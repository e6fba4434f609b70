// Decoder of pgoutput, protocol version 1: the messages inside WalData.
// Formats: PostgreSQL documentation 55.9, "Logical Replication Message Formats"; grammar in pgoutput.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "base/byte_reader.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/change.h"
#include "model/relation.h"

namespace outboxx::pgoutput {

struct Begin {
  Lsn final_lsn;  // start of the commit record
  WallTime commit_time;
  std::uint32_t xid = 0;
};

struct Commit {
  Lsn commit_lsn;  // start of the commit record, the same as Begin's final_lsn
  Lsn end_lsn;     // end of it: what may be confirmed
  WallTime commit_time;
};

struct Origin {
  Lsn commit_lsn;
  std::string_view name;
};

struct RelationColumn {
  std::string_view name;
  std::uint32_t type_oid = 0;
  std::int32_t type_modifier = -1;
  bool is_key = false;
};

struct RelationDescription {
  std::uint32_t oid = 0;
  std::string_view schema;  // "pg_catalog" where the wire has an empty string
  std::string_view name;
  ReplicaIdentity replica_identity = ReplicaIdentity::kDefault;
  std::span<const RelationColumn> columns;
};

struct Type {
  std::uint32_t oid = 0;
  std::string_view schema;
  std::string_view name;
};

struct Insert {
  std::uint32_t relation_oid = 0;
  Tuple new_row;
};

struct Update {
  std::uint32_t relation_oid = 0;
  OldRowKind old_row_kind = OldRowKind::kNone;
  Tuple old_row;
  Tuple new_row;
};

struct Delete {
  std::uint32_t relation_oid = 0;
  OldRowKind old_row_kind = OldRowKind::kKey;
  Tuple old_row;
};

struct Truncate {
  bool cascade = false;
  bool restart_identity = false;
  std::span<const std::uint32_t> relation_oids;
};

// pg_logical_emit_message().
struct LogicalMessage {
  bool transactional = false;
  Lsn lsn;
  std::string_view prefix;
  std::string_view content;
};

using Message =
    std::variant<Begin, Commit, Origin, RelationDescription, Type, Insert, Update, Delete, Truncate, LogicalMessage>;

// C(T) of a Begin message; nothing for any other, or one that is malformed. For whoever must know before it is decoded.
[[nodiscard]] std::optional<Lsn> final_lsn_of_begin(std::string_view data);

// Keeps the last message and the arrays that its spans point into, so that it stops allocating.
class Decoder {
 public:
  // One message. The result and its views point into this decoder and into data: valid until the next decode() and as long as
  // data is. wal_start is for error messages alone. A malformed or unknown message is a kProtocol error that names its type,
  // its length and the LSN; nothing outside data is read. Whether a tuple has as many values as its relation has columns is
  // the caller's to check: a decoder knows no relations.
  // Never nullptr. A pointer, because moving the message out costs as much as decoding three columns.
  [[nodiscard]] Result<const Message*> decode(std::string_view data, Lsn wal_start);

 private:
  void read_message(ByteReader& reader);
  [[nodiscard]] Insert read_insert(ByteReader& reader);
  [[nodiscard]] Update read_update(ByteReader& reader);
  [[nodiscard]] Delete read_delete(ByteReader& reader);

  Message message_;
  std::vector<Value> old_values_;
  std::vector<Value> new_values_;
  std::vector<RelationColumn> columns_;
  std::vector<std::uint32_t> oids_;
};

}  // namespace outboxx::pgoutput
