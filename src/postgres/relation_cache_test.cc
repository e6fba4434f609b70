#include "postgres/relation_cache.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/relation.h"
#include "postgres/pgoutput.h"

namespace outboxx {
namespace {

// A description whose views die with it, as those of a received message do.
class Description {
 public:
  Description(std::uint32_t oid, std::string name, std::vector<std::string> columns)
      : oid_(oid), name_(std::move(name)), column_names_(std::move(columns)) {
    for (const std::string& column : column_names_) {
      columns_.push_back({.name = column, .type_oid = 23, .type_modifier = 7, .is_key = column == "id"});
    }
  }
  [[nodiscard]] pgoutput::RelationDescription get() const {
    return {.oid = oid_, .schema = "public", .name = name_, .replica_identity = ReplicaIdentity::kFull, .columns = columns_};
  }

 private:
  std::uint32_t oid_;
  std::string name_;
  std::vector<std::string> column_names_;
  std::vector<pgoutput::RelationColumn> columns_;
};

std::string describe(const Relation* relation) {
  if (relation == nullptr) {
    return "none";
  }
  std::string out = std::to_string(relation->oid) + ' ' + relation->schema + '.' + relation->name + ' ' +
                    static_cast<char>(relation->replica_identity) + " (";
  for (const Column& column : relation->columns) {
    out += ' ' + column.name + ':' + std::to_string(column.type_oid) + ':' + std::to_string(column.type_modifier) +
           (column.is_key ? "*" : "");
  }
  return out + " )";
}

TEST(RelationCache, KnowsOnlyWhatWasDescribed) {
  RelationCache cache;
  EXPECT_EQ(describe(cache.find(1)), "none");
  cache.update(Description(1, "a_table_whose_name_fits_no_small_string", {"id", "a_column_whose_name_does_not_either"}).get());
  cache.update(Description(2, "b", {}).get());
  EXPECT_EQ(describe(cache.find(1)),
            "1 public.a_table_whose_name_fits_no_small_string f ( id:23:7* a_column_whose_name_does_not_either:23:7 )");
  EXPECT_EQ(describe(cache.find(2)), "2 public.b f ( )");
  EXPECT_EQ(describe(cache.find(3)), "none");
}

TEST(RelationCache, ReplacesADescriptionBehindTheSameReference) {
  RelationCache cache;
  const Relation& relation = cache.update(Description(1, "t", {"id", "a", "b"}).get());
  for (std::uint32_t oid = 2; oid < 10'000; ++oid) {
    cache.update(Description(oid, "other", {"id"}).get());
  }
  cache.update(Description(1, "renamed", {"b"}).get());
  EXPECT_EQ(describe(&relation), "1 public.renamed f ( b:23:7 )");
  EXPECT_EQ(cache.find(1), &relation);
}

TEST(RelationCache, GivesEachDescriptionItsOwnVersionOverSessions) {
  const Description description(1, "t", {"id"});
  std::vector<std::uint64_t> versions;
  for (int session = 0; session < 2; ++session) {
    RelationCache cache;
    versions.push_back(cache.update(description.get()).version);
    versions.push_back(cache.update(description.get()).version);
  }
  EXPECT_LT(0u, versions[0]);
  EXPECT_LT(versions[0], versions[1]);
  EXPECT_LT(versions[1], versions[2]);
  EXPECT_LT(versions[2], versions[3]);
}

}  // namespace
}  // namespace outboxx
