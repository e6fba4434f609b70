// Dispatcher: one replication message in, its records handed to the sink. The one switch over pgoutput's messages.
//
//   decode -> begin | relation | insert, update, delete | truncate | commit ... -> route -> serialize -> produce -> count
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ack_tracker.h"
#include "base/error.h"
#include "base/lsn.h"
#include "base/metrics.h"
#include "base/time.h"
#include "format/format.h"
#include "model/change.h"
#include "model/record.h"
#include "model/state_record.h"
#include "model/stream.h"
#include "postgres/pgoutput.h"
#include "postgres/relation_cache.h"
#include "postgres/replication_stream.h"
#include "router.h"
#include "sink/sink.h"

namespace outboxx {

// One per session: the server describes its relations anew in each. The pipeline's thread alone.
class Dispatcher {
 public:
  // All references outlive the dispatcher.
  Dispatcher(std::span<const StreamConfig> streams, const FormatOptions& format_options, Sink& sink, AckTracker& tracker,
             Metrics& metrics);

  // kFull: the sink did not take all records of this message. Then message.data must stay valid, and nothing else may be
  // dispatched, until resume() returns kAccepted. now: when the message was received, to the precision of a wake-up.
  [[nodiscard]] Result<Admission> dispatch(const WalData& message, TimePoint now);
  [[nodiscard]] Result<Admission> resume() { return deliver(); }

  // Exactly once: what arrived before is not sent again. Everything that commits before progress.position is passed over, and
  // of the transaction that was split, the changes that arrived. Before the first dispatch().
  void resume_at(const Progress& progress) { arrived_ = progress; }
  // The records of the transaction that commits there are marked as parts of one that is split, as are those of one that is
  // resumed amid it. Before its Begin.
  void mark_split(Lsn final_lsn) { split_ = final_lsn; }
  [[nodiscard]] bool is_marked() const { return record_.is_split; }

  // Of the open transaction: the start of its commit record, and how many changes came.
  [[nodiscard]] Lsn open_commit() const { return transaction_.final_lsn; }
  [[nodiscard]] std::uint64_t ordinal() const { return next_ordinal_; }
  // Accepted by the sink so far: records, and the bytes of their keys and values.
  [[nodiscard]] std::uint64_t records() const { return records_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t open_bytes() const { return bytes_ - bytes_at_begin_; }  // of those, the open transaction's

  // Records wait for the sink.
  [[nodiscard]] bool blocked() const { return !pending_.empty(); }

 private:
  [[nodiscard]] Result<> begin(const pgoutput::Begin& begin, TimePoint now);
  [[nodiscard]] Result<> commit(const pgoutput::Commit& commit);
  [[nodiscard]] Result<> truncate(const pgoutput::Truncate& truncate);
  [[nodiscard]] Result<Admission> change(Operation operation, std::uint32_t relation_oid);
  [[nodiscard]] Result<Admission> deliver();
  void count_record(std::size_t stream);
  [[nodiscard]] std::string describe_change() const;

  Sink& sink_;
  AckTracker& tracker_;
  Metrics& metrics_;
  pgoutput::Decoder decoder_;
  RelationCache relations_;
  Router router_;
  std::vector<std::unique_ptr<Format>> formats_;  // by stream
  Transaction transaction_;
  Progress arrived_;
  Lsn split_;
  std::uint64_t first_ordinal_ = 0;  // changes below it arrived before
  std::uint64_t records_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t bytes_at_begin_ = 0;
  std::uint64_t next_ordinal_ = 0;        // of the next change in the open transaction
  Change change_;                         // the change at work
  std::span<const std::size_t> pending_;  // streams that have not yet got it
  std::uint32_t part_ = 0;                // of its next record
  bool serialized_ = false;               // record_ holds it for the first pending stream
  Record record_;
};

}  // namespace outboxx
