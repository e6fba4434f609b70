// StreamConfig: one [[streams]] entry of the configuration: which changes of which table go where, and how they look.
#pragma once

#include <cstdint>
#include <string>

#include "model/change.h"

namespace outboxx {

// A set of operations.
struct OperationSet {
  bool insert = false;
  bool update = false;
  bool remove = false;  // "delete" is a keyword
  bool read = false;    // initial snapshot

  [[nodiscard]] bool contains(Operation operation) const {
    switch (operation) {
      case Operation::kInsert:
        return insert;
      case Operation::kUpdate:
        return update;
      case Operation::kDelete:
        return remove;
      case Operation::kRead:
        return read;
    }
    return false;
  }
};

enum class FormatName : std::uint8_t { kOutboxxJson };

struct StreamConfig {
  std::string name;
  std::string schema;
  std::string table;
  OperationSet operations;
  FormatName format = FormatName::kOutboxxJson;
  std::string topic;
  std::string routing_key;  // the column whose value is the record's key
};

}  // namespace outboxx
