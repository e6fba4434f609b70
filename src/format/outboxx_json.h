// OutboxxJson: format = "json", byte for byte what Outboxx has written since v0. docs/formats.md describes it for consumers.
//
//   {"op":"UPDATE","data":{"id":1,"name":"a"},"meta":{"source":"postgres","resource":"public.t","timestamp":1,"lsn":"0/1A2B"}}
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "format/format.h"
#include "model/change.h"
#include "model/pg_type.h"
#include "model/record.h"
#include "model/relation.h"
#include "model/stream.h"

namespace outboxx {

class OutboxxJson final : public Format {
 public:
  OutboxxJson(const StreamConfig& stream, const FormatOptions& options);

  // kPostgresMisconfigured: no value for the key, or no such column. kProtocol: tuples that do not fit the relation.
  [[nodiscard]] Result<> serialize(const Change& change, Record& record) override;

 private:
  struct PreparedColumn {
    std::string prefix;  // ,"name":
    LogicalType type = LogicalType::kOther;
    bool is_key = false;
    bool may_be_invalid = false;  // its text need not be UTF-8
  };

  // What does not change from row to row.
  struct Prepared {
    std::uint64_t version = 0;  // Relation::version it was made for
    std::vector<PreparedColumn> columns;
    std::optional<std::size_t> routing_column;
    std::string meta;  // from the end of the data to the timestamp
  };

  void prepare(const Relation& relation);
  [[nodiscard]] std::string_view as_utf8(std::string_view text);
  [[nodiscard]] Result<> append_key(const Change& change, std::string& out) const;
  [[nodiscard]] Result<const Value*> routing_value(const Change& change) const;
  [[nodiscard]] Result<> append_data(const Change& change, std::string& out);
  void append_text(const PreparedColumn& column, std::string_view text, std::string& out);
  void append_meta(const Change& change, std::string& out);

  std::string routing_key_;
  FormatOptions options_;
  Prepared prepared_;
  std::string meta_;  // prepared_.meta with the timestamp, up to the LSN
  std::chrono::sys_seconds meta_timestamp_;
  std::string repaired_;  // as_utf8()'s last result
};

}  // namespace outboxx
