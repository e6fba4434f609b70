#include "format/outboxx_json.h"

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "base/lsn.h"
#include "format/format.h"
#include "format/json_writer.h"
#include "model/change.h"
#include "model/pg_type.h"
#include "model/record.h"
#include "model/relation.h"
#include "model/stream.h"

namespace outboxx {
namespace {

constexpr std::string_view kUnchangedToast = R"("__outboxx_unknown_value__")";

// From the beginning of the message to the data; the { is put over the first column's comma.
std::string_view head_of(Operation operation) {
  switch (operation) {
    case Operation::kInsert:
      return R"({"op":"INSERT","data":)";
    case Operation::kUpdate:
      return R"({"op":"UPDATE","data":)";
    case Operation::kDelete:
      return R"({"op":"DELETE","data":)";
    case Operation::kRead:
      return R"({"op":"READ","data":)";
  }
  return {};
}

std::string_view name_of(Operation operation) {
  switch (operation) {
    case Operation::kInsert:
      return "INSERT";
    case Operation::kUpdate:
      return "UPDATE";
    case Operation::kDelete:
      return "DELETE";
    case Operation::kRead:
      return "READ";
  }
  return {};
}

// The type "char" in quotes, and its array: before PostgreSQL 16 a value keeps the first byte of a longer UTF-8 sequence.
bool is_of_single_bytes(std::uint32_t type_oid) {
  constexpr std::uint32_t kChar = 18;
  constexpr std::uint32_t kCharArray = 1002;
  return type_oid == kChar || type_oid == kCharArray;
}

// The row that the message tells.
Tuple told_row(const Change& change) {
  return change.operation == Operation::kDelete ? change.old_row : change.new_row;
}

// The server sends nulls in the places of columns that are not part of the key.
bool holds_only_key(const Change& change) {
  return change.operation == Operation::kDelete && change.old_row_kind == OldRowKind::kKey;
}

std::string quoted_identifier(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    quoted.append(c == '"' ? 2 : 1, c);
  }
  return quoted + '"';
}

std::string describe(std::string_view verb, const Change& change) {
  return fmt::format("could not {} {} on \"{}.{}\" at LSN {}", verb, name_of(change.operation), change.relation->schema,
                     change.relation->name, to_string(change.lsn));
}

[[gnu::cold]] std::unexpected<Error> column_count_failure(const Change& change, std::size_t count) {
  return fail(ErrorCode::kProtocol, fmt::format("{}: tuple has {} columns, relation has {}", describe("serialize", change),
                                                count, change.relation->columns.size()));
}

[[gnu::cold]] std::unexpected<Error> binary_value_failure(const Change& change, std::size_t column) {
  return fail(ErrorCode::kProtocol, fmt::format("{}: column \"{}\" came in binary format, which was not asked for",
                                                describe("serialize", change), change.relation->columns[column].name));
}

[[gnu::cold]] std::unexpected<Error> no_routing_column_failure(const Change& change, std::string_view routing_key) {
  return fail(
      ErrorCode::kPostgresMisconfigured,
      fmt::format("{}: routing column \"{}\" does not exist or is not published", describe("route", change), routing_key),
      "Set streams.sink.routing_key to a column of the table that the publication contains.");
}

// A change that is already in the WAL keeps the old row it was written with, so there are two ways out.
[[gnu::cold]] std::unexpected<Error> no_routing_value_failure(const Change& change, std::string_view routing_key,
                                                              std::string_view reason) {
  return fail(
      ErrorCode::kPostgresMisconfigured,
      fmt::format("{}: routing column \"{}\" {}", describe("route", change), routing_key, reason),
      fmt::format("For changes made from now on, run ALTER TABLE {}.{} REPLICA IDENTITY FULL; to get past this one, set "
                  "streams.sink.routing_key to a column of the replica identity.",
                  quoted_identifier(change.relation->schema), quoted_identifier(change.relation->name)));
}

Result<> check_column_counts(const Change& change) {
  const std::size_t columns = change.relation->columns.size();
  const Tuple told = told_row(change);
  if (told.size() != columns) [[unlikely]] {
    return column_count_failure(change, told.size());
  }
  if (change.old_row_kind != OldRowKind::kNone && change.old_row.size() != columns) [[unlikely]] {
    return column_count_failure(change, change.old_row.size());
  }
  return {};
}

// A bool or a number as JSON has it. False, and nothing is appended, if the text is not what the type promises.
bool append_literal(LogicalType type, std::string_view text, std::string& out) {
  switch (type) {
    case LogicalType::kBool:
      if (text != "t" && text != "f") {
        return false;
      }
      out.append(text == "t" ? "true" : "false");
      return true;
    case LogicalType::kInt2:
    case LogicalType::kInt4:
    case LogicalType::kInt8:
      return append_json_integer(out, text);
    case LogicalType::kFloat4:
    case LogicalType::kFloat8:
      return append_plain_decimal(out, text);
    case LogicalType::kOther:
      return false;
  }
  return false;
}

}  // namespace

OutboxxJson::OutboxxJson(const StreamConfig& stream, const FormatOptions& options)
    : routing_key_(stream.routing_key), options_(options) {}

Result<> OutboxxJson::serialize(const Change& change, Record& record) {
  if (prepared_.version != change.relation->version) [[unlikely]] {
    prepare(*change.relation);
  }
  TRY(check_column_counts(change));
  record.key.clear();
  TRY(append_key(change, record.key));
  record.value.clear();
  TRY(append_data(change, record.value));
  append_meta(change, record.value);
  return {};
}

void OutboxxJson::prepare(const Relation& relation) {
  prepared_ = {.version = relation.version, .columns = {}, .routing_column = relation.column_index(routing_key_), .meta = {}};
  for (const Column& column : relation.columns) {
    PreparedColumn& prepared = prepared_.columns.emplace_back(
        PreparedColumn{.prefix = ",",
                       .type = logical_type(column.type_oid),
                       .is_key = column.is_key,
                       .may_be_invalid = options_.replace_invalid_utf8 || is_of_single_bytes(column.type_oid)});
    append_json_string(prepared.prefix, as_utf8(column.name));
    prepared.prefix.push_back(':');
  }
  prepared_.meta = R"(},"meta":{"source":"postgres","resource":)";
  append_json_string(prepared_.meta, as_utf8(relation.schema + '.' + relation.name));
  prepared_.meta += R"(,"timestamp":)";
  meta_.clear();
}

// text itself if nothing had to be replaced. Valid until the next call, and as long as text.
std::string_view OutboxxJson::as_utf8(std::string_view text) {
  if (is_utf8(text)) {
    return text;
  }
  repaired_.clear();
  append_as_utf8(repaired_, text);
  return repaired_;
}

// The bytes of a key are never replaced, not even where they are no UTF-8: keys that differ stay different.
Result<> OutboxxJson::append_key(const Change& change, std::string& out) const {
  const Value* const value = TRY(routing_value(change));
  if (value->kind == ValueKind::kNull) {
    out.append("null");
  } else if (!append_literal(prepared_.columns[*prepared_.routing_column].type, value->bytes, out)) {
    out.append(value->bytes);
  }
  return {};
}

// Null or text; points into the change.
Result<const Value*> OutboxxJson::routing_value(const Change& change) const {
  if (!prepared_.routing_column) [[unlikely]] {
    return no_routing_column_failure(change, routing_key_);
  }
  const std::size_t column = *prepared_.routing_column;
  const bool old_row_has_it =
      change.old_row_kind == OldRowKind::kFull || (change.old_row_kind == OldRowKind::kKey && prepared_.columns[column].is_key);
  if (change.operation == Operation::kDelete && !old_row_has_it) [[unlikely]] {
    return no_routing_value_failure(change, routing_key_, "is not in the replica identity");
  }
  const Value* value = &told_row(change)[column];
  // A null there is of a partition whose identity lacks the column: what is TOASTed is not null.
  if (value->kind == ValueKind::kUnchangedToast && old_row_has_it && change.old_row[column].kind != ValueKind::kNull) {
    value = &change.old_row[column];  // unchanged, so the old value is the value
  }
  if (value->kind == ValueKind::kUnchangedToast) [[unlikely]] {
    return no_routing_value_failure(change, routing_key_, "was not sent, because its TOASTed value did not change");
  }
  if (value->kind == ValueKind::kBinary) [[unlikely]] {
    return binary_value_failure(change, column);
  }
  return value;
}

Result<> OutboxxJson::append_data(const Change& change, std::string& out) {
  const Tuple row = told_row(change);
  const bool only_key = holds_only_key(change);
  out.append(head_of(change.operation));
  const std::size_t begin = out.size();
  for (std::size_t index = 0; index < row.size(); ++index) {
    const PreparedColumn& column = prepared_.columns[index];
    if (only_key && !column.is_key) {
      continue;
    }
    switch (row[index].kind) {
      case ValueKind::kText:
        append_text(column, row[index].bytes, out);
        break;
      case ValueKind::kNull:
        out.append(column.prefix).append("null");
        break;
      case ValueKind::kUnchangedToast:
        out.append(column.prefix).append(kUnchangedToast);
        break;
      case ValueKind::kBinary:
        return binary_value_failure(change, index);
    }
  }
  CHECK(out.size() > begin);  // append_key() found the routing column among those told
  out[begin] = '{';
  return {};
}

void OutboxxJson::append_text(const PreparedColumn& column, std::string_view text, std::string& out) {
  if (column.type != LogicalType::kOther) {
    const std::size_t begin = out.size();
    out.append(column.prefix);
    if (append_literal(column.type, text, out)) {
      return;
    }
    out.resize(begin);
  }
  const std::string_view valid = column.may_be_invalid ? as_utf8(text) : text;
  if (valid.data() != text.data() && options_.invalid_utf8 != nullptr) [[unlikely]] {
    options_.invalid_utf8->add();
  }
  append_json_string(out, valid, column.prefix);
}

void OutboxxJson::append_meta(const Change& change, std::string& out) {
  const auto timestamp = std::chrono::floor<std::chrono::seconds>(change.transaction->commit_time);
  if (meta_.empty() || timestamp != meta_timestamp_) {
    meta_timestamp_ = timestamp;
    meta_ = fmt::format(R"({}{},"lsn":")", prepared_.meta, timestamp.time_since_epoch().count());
  }
  out.append(meta_);
  append_lsn(out, change.lsn);
  out.append("\"}}");
}

}  // namespace outboxx
