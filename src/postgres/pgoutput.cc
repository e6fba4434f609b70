// The messages of pgoutput, protocol version 1 (PostgreSQL documentation 55.9, "Logical Replication Message Formats"; the
// server's own reader and writer: src/backend/replication/logical/proto.c). Integers are big-endian, String ends with a zero
// byte.
//
//   Begin     'B' final_lsn:Int64 commit_time:Int64 xid:Int32
//   Commit    'C' flags:Int8(0) commit_lsn:Int64 end_lsn:Int64 commit_time:Int64
//   Origin    'O' commit_lsn:Int64 name:String
//   Relation  'R' oid:Int32 schema:String name:String replica_identity:Int8 count:Int16 column{count}
//   column    flags:Int8 name:String type_oid:Int32 type_modifier:Int32
//   Type      'Y' oid:Int32 schema:String name:String
//   Insert    'I' oid:Int32 'N' tuple
//   Update    'U' oid:Int32 [('K' | 'O') tuple] 'N' tuple
//   Delete    'D' oid:Int32 ('K' | 'O') tuple
//   Truncate  'T' count:Int32 flags:Int8 oid:Int32{count}
//   Message   'M' flags:Int8 lsn:Int64 prefix:String length:Int32 content:Byte{length}
//   tuple     count:Int16 ('n' | 'u' | ('t' | 'b') length:Int32 Byte{length}){count}
//
// Where the server's reader ignores unknown flag bits (column, Truncate, Message) so does this one; a message must end where
// its grammar ends. Protocol version 1 has no streamed or two-phase transactions, so their messages are unknown here.
#include "postgres/pgoutput.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_reader.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/change.h"
#include "model/relation.h"

namespace outboxx::pgoutput {

namespace {

// The most that a table can have (PostgreSQL: access/htup_details.h, MaxHeapAttributeNumber). It bounds what a corrupt count
// can make us allocate.
constexpr std::size_t kColumnsMax = 1600;
constexpr std::size_t kRelationColumnSizeMin = 10;  // flags, the shortest string and two Int32

constexpr std::uint8_t kColumnIsKey = 1;
constexpr std::uint8_t kTruncateCascade = 1;
constexpr std::uint8_t kTruncateRestartIdentity = 2;
constexpr std::uint8_t kMessageIsTransactional = 1;

Begin read_begin(ByteReader& reader) {
  Begin begin;
  begin.final_lsn = Lsn{reader.read_u64()};
  begin.commit_time = from_postgres_time(reader.read_i64());
  begin.xid = reader.read_u32();
  return begin;
}

Commit read_commit(ByteReader& reader) {
  if (reader.read_u8() != 0) {
    reader.fail("unknown commit flags");
  }
  Commit commit;
  commit.commit_lsn = Lsn{reader.read_u64()};
  commit.end_lsn = Lsn{reader.read_u64()};
  commit.commit_time = from_postgres_time(reader.read_i64());
  return commit;
}

Origin read_origin(ByteReader& reader) {
  Origin origin;
  origin.commit_lsn = Lsn{reader.read_u64()};
  origin.name = reader.read_cstring();
  return origin;
}

std::string_view read_schema(ByteReader& reader) {
  const std::string_view schema = reader.read_cstring();
  return schema.empty() ? "pg_catalog" : schema;
}

ReplicaIdentity read_replica_identity(ByteReader& reader) {
  const auto identity = static_cast<ReplicaIdentity>(reader.read_u8());
  switch (identity) {
    case ReplicaIdentity::kDefault:
    case ReplicaIdentity::kNothing:
    case ReplicaIdentity::kFull:
    case ReplicaIdentity::kIndex:
      return identity;
  }
  reader.fail("unknown replica identity");
  return ReplicaIdentity::kDefault;
}

std::span<const RelationColumn> read_columns(ByteReader& reader, std::vector<RelationColumn>& columns) {
  const std::size_t count = reader.read_u16();
  if (count > kColumnsMax || count * kRelationColumnSizeMin > reader.remaining()) {
    reader.fail("column count out of range");
    return {};
  }
  columns.resize(count);
  for (RelationColumn& column : columns) {
    column.is_key = (reader.read_u8() & kColumnIsKey) != 0;
    column.name = reader.read_cstring();
    column.type_oid = reader.read_u32();
    column.type_modifier = reader.read_i32();
  }
  return columns;
}

RelationDescription read_relation(ByteReader& reader, std::vector<RelationColumn>& columns) {
  RelationDescription relation;
  relation.oid = reader.read_u32();
  relation.schema = read_schema(reader);
  relation.name = reader.read_cstring();
  relation.replica_identity = read_replica_identity(reader);
  relation.columns = read_columns(reader, columns);
  return relation;
}

Type read_type(ByteReader& reader) {
  Type type;
  type.oid = reader.read_u32();
  type.schema = read_schema(reader);
  type.name = reader.read_cstring();
  return type;
}

Value read_value(ByteReader& reader) {
  const auto kind = static_cast<ValueKind>(reader.read_u8());
  switch (kind) {
    case ValueKind::kText:
    case ValueKind::kBinary:
      return {.kind = kind, .bytes = reader.read_bytes(reader.read_u32())};
    case ValueKind::kNull:
    case ValueKind::kUnchangedToast:
      return {.kind = kind, .bytes = {}};
  }
  reader.fail("unknown value kind");
  return {};
}

// values only grows, so that a narrow row after a wide one costs nothing.
Tuple read_tuple(ByteReader& source, std::vector<Value>& values) {
  ByteReader reader = source;
  const std::size_t count = reader.read_u16();
  if (count > kColumnsMax || count > reader.remaining()) {
    source.fail("column count out of range");
    return {};
  }
  if (values.size() < count) {
    values.resize(count);
  }
  const std::span<Value> tuple(values.data(), count);
  for (Value& value : tuple) {
    value = read_value(reader);
  }
  source = reader;
  return tuple;
}

Tuple read_new_row(ByteReader& reader, char kind, std::vector<Value>& values) {
  if (kind != 'N') {
    reader.fail("unknown tuple kind");
    return {};
  }
  return read_tuple(reader, values);
}

OldRowKind old_row_kind(char kind) {
  return kind == 'K' ? OldRowKind::kKey : kind == 'O' ? OldRowKind::kFull : OldRowKind::kNone;
}

char read_kind(ByteReader& reader) {
  return static_cast<char>(reader.read_u8());
}

Truncate read_truncate(ByteReader& reader, std::vector<std::uint32_t>& oids) {
  Truncate truncate;
  const std::size_t count = reader.read_u32();
  const std::uint8_t flags = reader.read_u8();
  if (count > reader.remaining() / sizeof(std::uint32_t)) {
    reader.fail("relation count out of range");
    return truncate;
  }
  truncate.cascade = (flags & kTruncateCascade) != 0;
  truncate.restart_identity = (flags & kTruncateRestartIdentity) != 0;
  oids.resize(count);
  for (std::uint32_t& oid : oids) {
    oid = reader.read_u32();
  }
  truncate.relation_oids = oids;
  return truncate;
}

LogicalMessage read_logical_message(ByteReader& reader) {
  LogicalMessage message;
  message.transactional = (reader.read_u8() & kMessageIsTransactional) != 0;
  message.lsn = Lsn{reader.read_u64()};
  message.prefix = reader.read_cstring();
  message.content = reader.read_bytes(reader.read_u32());
  return message;
}

std::string printable_type(std::string_view data) {
  if (data.empty()) {
    return {};
  }
  const char type = data.front();
  const bool printable = type >= ' ' && type <= '~' && type != '"' && type != '\\';
  return printable ? std::string(1, type) : fmt::format("\\x{:02x}", static_cast<unsigned char>(type));
}

// No byte of a row is in the message: it goes to logs.
[[gnu::cold]] std::unexpected<Error> decode_failure(std::string_view data, Lsn wal_start, const ByteReader& reader) {
  return fail(ErrorCode::kProtocol,
              fmt::format("could not decode message of type \"{}\" (length {}) at LSN {}: {} after {} bytes",
                          printable_type(data), data.size(), to_string(wal_start), reader.failure(), reader.position()));
}

}  // namespace

std::optional<Lsn> final_lsn_of_begin(std::string_view data) {
  ByteReader reader(data);
  if (reader.read_u8() != 'B') {
    return std::nullopt;
  }
  const Begin begin = read_begin(reader);
  return reader.failed() ? std::nullopt : std::optional(begin.final_lsn);
}

Result<const Message*> Decoder::decode(std::string_view data, Lsn wal_start) {
  ByteReader reader(data);
  read_message(reader);
  if (reader.remaining() != 0) {
    reader.fail("trailing bytes");
  }
  if (reader.failed()) [[unlikely]] {
    return decode_failure(data, wal_start, reader);
  }
  return &message_;
}

void Decoder::read_message(ByteReader& reader) {
  switch (read_kind(reader)) {
    case 'I':
      message_ = read_insert(reader);
      return;
    case 'U':
      message_ = read_update(reader);
      return;
    case 'D':
      message_ = read_delete(reader);
      return;
    case 'B':
      message_ = read_begin(reader);
      return;
    case 'C':
      message_ = read_commit(reader);
      return;
    case 'R':
      message_ = read_relation(reader, columns_);
      return;
    case 'Y':
      message_ = read_type(reader);
      return;
    case 'T':
      message_ = read_truncate(reader, oids_);
      return;
    case 'M':
      message_ = read_logical_message(reader);
      return;
    case 'O':
      message_ = read_origin(reader);
      return;
    default:
      reader.fail("unknown message type");
  }
}

Insert Decoder::read_insert(ByteReader& reader) {
  Insert insert;
  insert.relation_oid = reader.read_u32();
  insert.new_row = read_new_row(reader, read_kind(reader), new_values_);
  return insert;
}

Update Decoder::read_update(ByteReader& reader) {
  Update update;
  update.relation_oid = reader.read_u32();
  char kind = read_kind(reader);
  update.old_row_kind = old_row_kind(kind);
  if (update.old_row_kind != OldRowKind::kNone) {
    update.old_row = read_tuple(reader, old_values_);
    kind = read_kind(reader);
  }
  update.new_row = read_new_row(reader, kind, new_values_);
  return update;
}

Delete Decoder::read_delete(ByteReader& reader) {
  Delete deletion;
  deletion.relation_oid = reader.read_u32();
  deletion.old_row_kind = old_row_kind(read_kind(reader));
  if (deletion.old_row_kind == OldRowKind::kNone) {
    reader.fail("unknown tuple kind");
    return deletion;
  }
  deletion.old_row = read_tuple(reader, old_values_);
  return deletion;
}

}  // namespace outboxx::pgoutput
