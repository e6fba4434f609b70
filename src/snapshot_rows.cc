#include "snapshot_rows.h"

#include <cstddef>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/time.h"
#include "format/format.h"
#include "model/change.h"
#include "model/event_id.h"
#include "model/relation.h"
#include "model/stream.h"
#include "model/unit_id.h"
#include "sink/sink.h"

namespace outboxx {

SnapshotRows::SnapshotRows(Sink& sink, Metrics& metrics, std::span<const StreamConfig> streams, const FormatOptions& options)
    : sink_(sink), metrics_(metrics) {
  for (const StreamConfig& stream : streams) {
    formats_.push_back(make_format(stream, options));
  }
  change_.operation = Operation::kRead;
  change_.transaction = &transaction_;
}

void SnapshotRows::set_point(Lsn point, WallTime made_at) {
  transaction_ = {.final_lsn = point, .commit_time = made_at, .xid = 0};
  change_.lsn = point;
  next_ordinal_ = 0;
}

void SnapshotRows::take(Tuple row, const Relation& relation, std::span<const std::size_t> streams) {
  change_.new_row = row;
  change_.relation = &relation;
  change_.ordinal = next_ordinal_++;
  pending_ = streams;
  part_ = 0;
  is_serialized_ = false;
}

Result<SnapshotRows::Accepted> SnapshotRows::offer(UnitId unit) {
  Accepted accepted;
  while (!pending_.empty()) {
    const std::size_t stream = pending_.front();
    if (!is_serialized_) {
      TRY(formats_[stream]->serialize(change_, record_));
      record_.stream = stream;
      // Above all ids of transactions before the point, and below all others: no record begins one byte before a record.
      record_.id = {.commit_lsn = Lsn{point().value - 1}, .ordinal = change_.ordinal, .part = part_};
      is_serialized_ = true;
    }
    if (TRY(sink_.produce(record_, unit)) == Admission::kFull) {
      break;
    }
    const std::size_t bytes = record_.key.size() + record_.value.size();
    metrics_.streams[stream].reads.add();
    metrics_.streams[stream].bytes.add(bytes);
    ++accepted.records;
    accepted.bytes += bytes;
    pending_ = pending_.subspan(1);
    ++part_;
    is_serialized_ = false;
  }
  records_ += accepted.records;
  bytes_ += accepted.bytes;
  return accepted;
}

}  // namespace outboxx
