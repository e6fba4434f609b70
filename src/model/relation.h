// Relation: a table as the replication stream describes it, at one moment of the stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace outboxx {

struct Column {
  std::string name;
  std::uint32_t type_oid = 0;
  std::int32_t type_modifier = -1;
  bool is_key = false;  // part of the replica identity
};

// REPLICA IDENTITY, the values of pg_class.relreplident.
enum class ReplicaIdentity : char { kDefault = 'd', kNothing = 'n', kFull = 'f', kIndex = 'i' };

struct Relation {
  std::uint32_t oid = 0;
  std::string schema;
  std::string name;
  ReplicaIdentity replica_identity = ReplicaIdentity::kDefault;
  std::vector<Column> columns;
  // Unique for each description received in this process, so that whoever prepared something for a relation can see with one
  // comparison whether it still fits. Never 0.
  std::uint64_t version = 0;

  [[nodiscard]] std::optional<std::size_t> column_index(std::string_view column_name) const {
    for (std::size_t index = 0; index < columns.size(); ++index) {
      if (columns[index].name == column_name) {
        return index;
      }
    }
    return std::nullopt;
  }
};

}  // namespace outboxx
