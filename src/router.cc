#include "router.h"

#include <utility>

namespace outboxx {

std::span<const std::size_t> Router::route(const Relation& relation, Operation operation) {
  if (last_ == nullptr || last_->version != relation.version) {
    Routes& routes = routes_[relation.oid];
    if (routes.version != relation.version) {
      prepare(relation, routes);
    }
    last_ = &routes;
  }
  return last_->by_operation[std::to_underlying(operation)];
}

void Router::prepare(const Relation& relation, Routes& routes) const {
  routes = {};
  routes.version = relation.version;
  for (std::size_t stream = 0; stream < streams_.size(); ++stream) {
    const StreamConfig& config = streams_[stream];
    if (config.schema != relation.schema || config.table != relation.name) {
      continue;
    }
    for (std::size_t operation = 0; operation < kOperations; ++operation) {
      if (config.operations.contains(static_cast<Operation>(operation))) {
        routes.by_operation[operation].push_back(stream);
      }
    }
  }
}

}  // namespace outboxx
