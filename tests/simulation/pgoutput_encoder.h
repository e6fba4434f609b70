// Encoder of pgoutput, protocol version 1: the server's side of the bytes. Formats: PostgreSQL documentation 55.9.
// pgoutput_encoder_test.cc compares it with captured bytes of real servers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace outboxx::simulation {

struct Cell {
  char kind = 'n';  // 'n' null, 'u' unchanged TOAST, 't' text
  std::string text{};
};
using Row = std::vector<Cell>;

struct TableColumn {
  std::string name;
  std::uint32_t type_oid = 25;
  std::uint32_t type_modifier = 0xFFFFFFFF;
  bool is_key = false;
};

// A table as it is after some ALTER TABLE.
struct TableVersion {
  std::uint32_t oid = 0;
  std::string schema;
  std::string name;
  char replica_identity = 'd';
  std::vector<TableColumn> columns;
};

inline void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value >> shift & 255));
  }
}

inline void append_row(std::string& out, const Row& row) {
  append_big_endian(out, row.size(), 2);
  for (const Cell& cell : row) {
    out.push_back(cell.kind);
    if (cell.kind == 't') {
      append_big_endian(out, cell.text.size(), 4);
      out += cell.text;
    }
  }
}

[[nodiscard]] inline std::string encode_begin(std::uint64_t commit_lsn, std::int64_t postgres_time, std::uint32_t xid) {
  std::string out = "B";
  append_big_endian(out, commit_lsn, 8);
  append_big_endian(out, static_cast<std::uint64_t>(postgres_time), 8);
  append_big_endian(out, xid, 4);
  return out;
}

[[nodiscard]] inline std::string encode_commit(std::uint64_t commit_lsn, std::uint64_t end_lsn, std::int64_t postgres_time) {
  std::string out("C\0", 2);
  append_big_endian(out, commit_lsn, 8);
  append_big_endian(out, end_lsn, 8);
  append_big_endian(out, static_cast<std::uint64_t>(postgres_time), 8);
  return out;
}

[[nodiscard]] inline std::string encode_relation(const TableVersion& table) {
  std::string out = "R";
  append_big_endian(out, table.oid, 4);
  out.append(table.schema).push_back('\0');
  out.append(table.name).push_back('\0');
  out.push_back(table.replica_identity);
  append_big_endian(out, table.columns.size(), 2);
  for (const TableColumn& column : table.columns) {
    out.push_back(column.is_key ? '\1' : '\0');
    out.append(column.name).push_back('\0');
    append_big_endian(out, column.type_oid, 4);
    append_big_endian(out, column.type_modifier, 4);
  }
  return out;
}

[[nodiscard]] inline std::string encode_insert(std::uint32_t oid, const Row& new_row) {
  std::string out = "I";
  append_big_endian(out, oid, 4);
  out.push_back('N');
  append_row(out, new_row);
  return out;
}

// old_kind: 'K' key, 'O' the whole row, 0 none.
[[nodiscard]] inline std::string encode_update(std::uint32_t oid, char old_kind, const Row& old_row, const Row& new_row) {
  std::string out = "U";
  append_big_endian(out, oid, 4);
  if (old_kind != 0) {
    out.push_back(old_kind);
    append_row(out, old_row);
  }
  out.push_back('N');
  append_row(out, new_row);
  return out;
}

[[nodiscard]] inline std::string encode_delete(std::uint32_t oid, char old_kind, const Row& old_row) {
  std::string out = "D";
  append_big_endian(out, oid, 4);
  out.push_back(old_kind);
  append_row(out, old_row);
  return out;
}

[[nodiscard]] inline std::string encode_truncate(const std::vector<std::uint32_t>& oids, std::uint8_t flags) {
  std::string out = "T";
  append_big_endian(out, oids.size(), 4);
  out.push_back(static_cast<char>(flags));
  for (const std::uint32_t oid : oids) {
    append_big_endian(out, oid, 4);
  }
  return out;
}

}  // namespace outboxx::simulation
