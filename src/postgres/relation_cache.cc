#include "postgres/relation_cache.h"

#include <atomic>
#include <cstdint>
#include <string>

#include "model/relation.h"
#include "postgres/pgoutput.h"

namespace outboxx {

std::uint64_t next_relation_version() {
  static constinit std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

const Relation& RelationCache::update(const pgoutput::RelationDescription& description) {
  Relation& relation = relations_[description.oid];
  relation.oid = description.oid;
  relation.schema = description.schema;
  relation.name = description.name;
  relation.replica_identity = description.replica_identity;
  relation.columns.clear();
  relation.columns.reserve(description.columns.size());
  for (const pgoutput::RelationColumn& column : description.columns) {
    relation.columns.push_back({.name = std::string(column.name),
                                .type_oid = column.type_oid,
                                .type_modifier = column.type_modifier,
                                .is_key = column.is_key});
  }
  relation.version = next_relation_version();
  return relation;
}

const Relation* RelationCache::find(std::uint32_t oid) const {
  const auto found = relations_.find(oid);
  return found == relations_.end() ? nullptr : &found->second;
}

}  // namespace outboxx
