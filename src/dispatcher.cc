#include "dispatcher.h"

#include <cstddef>
#include <limits>
#include <utility>
#include <variant>

#include "base/log.h"

namespace outboxx {
namespace {

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::kInsert:
      return "INSERT";
    case Operation::kUpdate:
      return "UPDATE";
    case Operation::kDelete:
      return "DELETE";
    case Operation::kRead:
      return "READ";
  }
  return "";
}

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

std::unexpected<Error> protocol_error(std::string message) {
  return fail(ErrorCode::kProtocol, std::move(message),
              "The replication stream is not what PostgreSQL documents. Nothing of it was confirmed; please report this.");
}

}  // namespace

Dispatcher::Dispatcher(std::span<const StreamConfig> streams, const FormatOptions& format_options, Sink& sink,
                       AckTracker& tracker, Metrics& metrics)
    : sink_(sink), tracker_(tracker), metrics_(metrics), router_(streams) {
  for (const StreamConfig& stream : streams) {
    formats_.push_back(make_format(stream, format_options));
  }
}

Result<Admission> Dispatcher::dispatch(const WalData& message, TimePoint now) {
  change_.lsn = message.start;
  const pgoutput::Message& decoded = *TRY(decoder_.decode(message.data, message.start));
  return std::visit(Overloaded{
                        [&](const pgoutput::Begin& begin_message) -> Result<Admission> {
                          TRY(begin(begin_message, now));
                          return Admission::kAccepted;
                        },
                        [&](const pgoutput::Commit& commit_message) -> Result<Admission> {
                          TRY(commit(commit_message));
                          return Admission::kAccepted;
                        },
                        [&](const pgoutput::RelationDescription& description) -> Result<Admission> {
                          relations_.update(description);
                          return Admission::kAccepted;
                        },
                        [&](const pgoutput::Insert& insert) {
                          change_.new_row = insert.new_row;
                          change_.old_row = {};
                          change_.old_row_kind = OldRowKind::kNone;
                          return change(Operation::kInsert, insert.relation_oid);
                        },
                        [&](const pgoutput::Update& update) {
                          change_.new_row = update.new_row;
                          change_.old_row = update.old_row;
                          change_.old_row_kind = update.old_row_kind;
                          return change(Operation::kUpdate, update.relation_oid);
                        },
                        [&](const pgoutput::Delete& remove) {
                          change_.new_row = {};
                          change_.old_row = remove.old_row;
                          change_.old_row_kind = remove.old_row_kind;
                          return change(Operation::kDelete, remove.relation_oid);
                        },
                        [&](const pgoutput::Truncate& truncate_message) -> Result<Admission> {
                          TRY(truncate(truncate_message));
                          return Admission::kAccepted;
                        },
                        // Types are known by oid, origins are not told apart, logical messages are never asked for.
                        [](const pgoutput::Type&) -> Result<Admission> { return Admission::kAccepted; },
                        [](const pgoutput::Origin&) -> Result<Admission> { return Admission::kAccepted; },
                        [](const pgoutput::LogicalMessage&) -> Result<Admission> { return Admission::kAccepted; },
                    },
                    decoded);
}

Result<> Dispatcher::begin(const pgoutput::Begin& begin, TimePoint now) {
  if (tracker_.in_transaction()) {
    return protocol_error("transaction began inside another at LSN " + to_string(begin.final_lsn));
  }
  transaction_ = {.final_lsn = begin.final_lsn, .commit_time = begin.commit_time, .xid = begin.xid};
  next_ordinal_ = 0;
  bytes_at_begin_ = bytes_;
  // Strictly below: a transaction whose commit record starts at the position has not arrived.
  if (begin.final_lsn < arrived_.position) {
    first_ordinal_ = std::numeric_limits<std::uint64_t>::max();
  } else {
    first_ordinal_ = begin.final_lsn == arrived_.open_commit ? arrived_.ordinal : 0;
  }
  record_.is_split = begin.final_lsn == split_ || begin.final_lsn == arrived_.open_commit;
  if (first_ordinal_ > 0) {
    log::debug("passing over what the state record says has arrived",
               {{"commit_lsn", begin.final_lsn}, {"up_to", arrived_.position}});
  }
  tracker_.begin(begin.final_lsn, begin.commit_time, now);
  return {};
}

Result<> Dispatcher::commit(const pgoutput::Commit& commit) {
  if (!tracker_.in_transaction() || commit.commit_lsn != transaction_.final_lsn || commit.end_lsn <= tracker_.received()) {
    return protocol_error("unexpected commit at LSN " + to_string(commit.commit_lsn));
  }
  tracker_.commit(commit.end_lsn);
  metrics_.transactions.add();
  metrics_.last_commit_us.set(transaction_.commit_time.time_since_epoch().count());
  return {};
}

// No format tells a TRUNCATE yet: it is counted, and takes part in the numbering so that ids stay the same once one does.
Result<> Dispatcher::truncate(const pgoutput::Truncate& truncate) {
  if (!tracker_.in_transaction()) {
    return protocol_error("TRUNCATE outside a transaction at LSN " + to_string(change_.lsn));
  }
  next_ordinal_ += truncate.relation_oids.size();
  metrics_.changes_skipped.add(truncate.relation_oids.size());
  return {};
}

Result<Admission> Dispatcher::change(Operation operation, std::uint32_t relation_oid) {
  if (!tracker_.in_transaction()) {
    return protocol_error(std::string(name_of(operation)) + " outside a transaction at LSN " + to_string(change_.lsn));
  }
  const Relation* relation = relations_.find(relation_oid);
  if (relation == nullptr) {
    return protocol_error(std::string(name_of(operation)) + " at LSN " + to_string(change_.lsn) + " on relation with OID " +
                          std::to_string(relation_oid) + ", which the server never described");
  }
  change_.operation = operation;
  change_.relation = relation;
  change_.transaction = &transaction_;
  change_.ordinal = next_ordinal_++;
  if (change_.ordinal < first_ordinal_) {
    metrics_.changes_repeated.add();
    return Admission::kAccepted;
  }
  pending_ = router_.route(*relation, operation);
  part_ = 0;
  serialized_ = false;
  if (pending_.empty()) {
    metrics_.changes_skipped.add();
  }
  return deliver();
}

// One record per stream. Stops where the sink is full and goes on there when called again.
Result<Admission> Dispatcher::deliver() {
  while (!pending_.empty()) {
    const std::size_t stream = pending_.front();
    if (!serialized_) {
      if (auto serialized = formats_[stream]->serialize(change_, record_); !serialized) {
        return std::unexpected(std::move(serialized).error());
      }
      record_.stream = stream;
      record_.id = {.commit_lsn = transaction_.final_lsn, .ordinal = change_.ordinal, .part = part_};
      serialized_ = true;
    }
    auto admission = sink_.produce(record_, tracker_.open_unit());
    if (!admission) {
      return fail_with_context(describe_change(), std::move(admission).error());
    }
    if (*admission == Admission::kFull) {
      return Admission::kFull;
    }
    tracker_.add_record();
    count_record(stream);
    pending_ = pending_.subspan(1);
    ++part_;
    serialized_ = false;
  }
  return Admission::kAccepted;
}

void Dispatcher::count_record(std::size_t stream) {
  StreamMetrics& counts = metrics_.streams[stream];
  const std::size_t bytes = record_.key.size() + record_.value.size();
  counts.bytes.add(bytes);
  bytes_ += bytes;
  ++records_;
  switch (change_.operation) {
    case Operation::kInsert:
      counts.inserts.add();
      return;
    case Operation::kUpdate:
      counts.updates.add();
      return;
    case Operation::kDelete:
      counts.deletes.add();
      return;
    case Operation::kRead:
      counts.reads.add();
      return;
  }
}

std::string Dispatcher::describe_change() const {
  return "could not send " + std::string(name_of(change_.operation)) + " on \"" + change_.relation->schema + "." +
         change_.relation->name + "\" at LSN " + to_string(change_.lsn);
}

}  // namespace outboxx
