// RelationCache: the last description of each relation that the stream sent.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "model/relation.h"
#include "postgres/pgoutput.h"

namespace outboxx {

// For Relation::version. Of the process and not of a cache: a cache lives as long as a session, and what was prepared for a
// relation may live longer.
[[nodiscard]] std::uint64_t next_relation_version();

// The server sends a relation's description before its first change in a session and again after each change of the table,
// in stream order; so the cache must be updated in that order, in mid-transaction too, and must not outlive the session.
class RelationCache {
 public:
  // Replaces what was known of the relation, and copies the description. The reference stays valid; the next update() of the
  // same relation changes what it refers to.
  const Relation& update(const pgoutput::RelationDescription& description);

  // nullptr if the stream never described it.
  [[nodiscard]] const Relation* find(std::uint32_t oid) const;

 private:
  std::unordered_map<std::uint32_t, Relation> relations_;
};

}  // namespace outboxx
