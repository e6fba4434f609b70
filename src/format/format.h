// Format: how a change looks as key and value of a record.
#pragma once

#include <memory>

#include "base/error.h"
#include "base/metrics.h"
#include "model/change.h"
#include "model/record.h"
#include "model/stream.h"

namespace outboxx {

// One instance per stream, used by the pipeline's thread alone. It may keep what it prepared for the last relation, and finds
// out by Relation::version when that is stale; after that it allocates nothing per row beyond the growth of the record.
class Format {
 public:
  virtual ~Format() = default;

  // Replaces key and value of the record. Fails if the change cannot be told without lying (no value for the routing key):
  // the caller stops, for a change is never dropped.
  [[nodiscard]] virtual Result<> serialize(const Change& change, Record& record) = 0;
};

struct FormatOptions {
  // The database is SQL_ASCII: its bytes may be anything, and what is not UTF-8 is replaced by U+FFFD and counted.
  bool replace_invalid_utf8 = false;
  Counter* invalid_utf8 = nullptr;  // may be null; outlives the format
};

[[nodiscard]] std::unique_ptr<Format> make_format(const StreamConfig& stream, const FormatOptions& options);

}  // namespace outboxx
