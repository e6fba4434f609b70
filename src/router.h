// Router: relation -> the streams that want its changes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/change.h"
#include "model/relation.h"
#include "model/stream.h"

namespace outboxx {

class Router {
 public:
  // streams outlives the router.
  explicit Router(std::span<const StreamConfig> streams) : streams_(streams) {}

  // Indexes of the streams that want this operation on this relation, in the order of the configuration. Valid until the
  // relation's description changes.
  [[nodiscard]] std::span<const std::size_t> route(const Relation& relation, Operation operation);

 private:
  static constexpr std::size_t kOperations = 4;
  struct Routes {
    std::uint64_t version = 0;  // Relation::version it was made for
    std::array<std::vector<std::size_t>, kOperations> by_operation;
  };

  void prepare(const Relation& relation, Routes& routes) const;

  std::span<const StreamConfig> streams_;
  std::unordered_map<std::uint32_t, Routes> routes_;  // by relation oid
  const Routes* last_ = nullptr;                      // changes come in runs of one relation
};

}  // namespace outboxx
