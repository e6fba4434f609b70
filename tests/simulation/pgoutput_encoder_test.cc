// The simulated server's bytes are those of the real one: what the captures hold is decoded, encoded again, and the same.
#include "simulation/pgoutput_encoder.h"

#include <gtest/gtest.h>

#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "postgres/pgoutput.h"
#include "postgres/pgoutput_testing.h"

namespace outboxx::simulation {
namespace {

Row row_of(Tuple tuple) {
  Row row;
  for (const Value& value : tuple) {
    row.push_back({.kind = static_cast<char>(value.kind), .text = std::string(value.bytes)});
  }
  return row;
}

char kind_of(OldRowKind kind) {
  return kind == OldRowKind::kKey ? 'K' : kind == OldRowKind::kFull ? 'O' : '\0';
}

std::string encode(const pgoutput::Begin& begin) {
  return encode_begin(begin.final_lsn.value, to_postgres_time(begin.commit_time), begin.xid);
}
std::string encode(const pgoutput::Commit& commit) {
  return encode_commit(commit.commit_lsn.value, commit.end_lsn.value, to_postgres_time(commit.commit_time));
}
std::string encode(const pgoutput::RelationDescription& relation) {
  TableVersion table{.oid = relation.oid,
                     .schema = std::string(relation.schema),
                     .name = std::string(relation.name),
                     .replica_identity = std::to_underlying(relation.replica_identity),
                     .columns = {}};
  for (const pgoutput::RelationColumn& column : relation.columns) {
    table.columns.push_back({.name = std::string(column.name),
                             .type_oid = column.type_oid,
                             .type_modifier = static_cast<std::uint32_t>(column.type_modifier),
                             .is_key = column.is_key});
  }
  return encode_relation(table);
}
std::string encode(const pgoutput::Insert& insert) {
  return encode_insert(insert.relation_oid, row_of(insert.new_row));
}
std::string encode(const pgoutput::Update& update) {
  return encode_update(update.relation_oid, kind_of(update.old_row_kind), row_of(update.old_row), row_of(update.new_row));
}
std::string encode(const pgoutput::Delete& remove) {
  return encode_delete(remove.relation_oid, kind_of(remove.old_row_kind), row_of(remove.old_row));
}
std::string encode(const pgoutput::Truncate& truncate) {
  return encode_truncate({truncate.relation_oids.begin(), truncate.relation_oids.end()},
                         static_cast<std::uint8_t>((truncate.cascade ? 1 : 0) | (truncate.restart_identity ? 2 : 0)));
}
// The simulated server does not send them.
std::string encode(const pgoutput::Type&) {
  return {};
}
std::string encode(const pgoutput::Origin&) {
  return {};
}
std::string encode(const pgoutput::LogicalMessage&) {
  return {};
}

TEST(PgoutputEncoder, WritesWhatRealServersWrote) {
  int compared = 0;
  for (const auto& path : pgoutput::capture_paths(OUTBOXX_GOLDEN_DIR "/pgoutput")) {
    SCOPED_TRACE(path.filename());
    const auto messages = pgoutput::read_capture(path);
    ASSERT_TRUE(messages.has_value());
    pgoutput::Decoder decoder;
    for (const pgoutput::CapturedMessage& message : *messages) {
      const auto decoded = decoder.decode(message.data, message.lsn);
      ASSERT_TRUE(decoded.has_value());
      const std::string encoded = std::visit([](const auto& alternative) { return encode(alternative); }, **decoded);
      if (!encoded.empty()) {
        EXPECT_EQ(encoded, message.data);
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 100);
}

}  // namespace
}  // namespace outboxx::simulation
