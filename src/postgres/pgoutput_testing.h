// For tests and fuzz targets: captured pgoutput messages, and what must hold of every message that decodes.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/lsn.h"
#include "postgres/pgoutput.h"

namespace outboxx::pgoutput {

struct CapturedMessage {
  Lsn lsn;
  std::string data;
};

[[nodiscard]] inline std::vector<std::filesystem::path> capture_paths(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".capture") {
      paths.push_back(entry.path());
    }
  }
  std::ranges::sort(paths);
  return paths;
}

// The lines of a file of tests/golden/pgoutput that are no comments: LSN, a space, bytes in hex. Nothing if a line is not.
[[nodiscard]] inline std::optional<std::vector<CapturedMessage>> read_capture(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<CapturedMessage> messages;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) {
      continue;
    }
    const std::size_t space = line.find(' ');
    const auto lsn = parse_lsn(std::string_view(line).substr(0, space));
    if (!lsn || space == std::string::npos || line.size() % 2 != (space + 1) % 2) {
      return std::nullopt;
    }
    CapturedMessage message{.lsn = *lsn, .data = {}};
    for (std::size_t index = space + 1; index < line.size(); index += 2) {
      message.data.push_back(static_cast<char>(std::strtoul(line.substr(index, 2).c_str(), nullptr, 16)));
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

// Every view of a message lies in the data it was decoded from; "pg_catalog", which the wire leaves out, is the exception.
class ViewCheck {
 public:
  explicit ViewCheck(std::string_view data) : data_(data) {}

  [[nodiscard]] bool holds(const Message& message) const {
    return std::visit([this](const auto& alternative) { return check(alternative); }, message);
  }

 private:
  [[nodiscard]] bool inside(std::string_view view) const {
    return view.empty() || (view.data() >= data_.data() && view.data() + view.size() <= data_.data() + data_.size());
  }
  [[nodiscard]] bool inside(Tuple tuple) const {
    return std::ranges::all_of(tuple, [this](const Value& value) { return inside(value.bytes); });
  }
  [[nodiscard]] bool is_schema(std::string_view schema) const { return schema == "pg_catalog" || inside(schema); }

  [[nodiscard]] bool check(const Begin&) const { return true; }
  [[nodiscard]] bool check(const Commit&) const { return true; }
  [[nodiscard]] bool check(const Truncate& truncate) const { return truncate.relation_oids.size() * 4 <= data_.size(); }
  [[nodiscard]] bool check(const Origin& origin) const { return inside(origin.name); }
  [[nodiscard]] bool check(const Type& type) const { return is_schema(type.schema) && inside(type.name); }
  [[nodiscard]] bool check(const Insert& insert) const { return inside(insert.new_row); }
  [[nodiscard]] bool check(const Update& update) const { return inside(update.old_row) && inside(update.new_row); }
  [[nodiscard]] bool check(const Delete& deletion) const { return inside(deletion.old_row); }
  [[nodiscard]] bool check(const LogicalMessage& message) const { return inside(message.prefix) && inside(message.content); }
  [[nodiscard]] bool check(const RelationDescription& relation) const {
    return is_schema(relation.schema) && inside(relation.name) &&
           std::ranges::all_of(relation.columns, [this](const RelationColumn& column) { return inside(column.name); });
  }

  std::string_view data_;
};

}  // namespace outboxx::pgoutput
