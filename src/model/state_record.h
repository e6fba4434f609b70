// StateRecord: how far a pipeline came, kept outside of PostgreSQL, so that a slot which lost changes is noticed at the next
// start (docs/delivery.md). One line of JSON; in Kafka a message of a compacted topic, for standard output a file.
//
//   {"format":1,"kind":"progress","epoch":2,"system":"7412345678901234567","timeline":1,"server_version":150020,
//    "database":"shop","slot":"outboxx","publication_oid":16401,"position":"0/1A2B3C8","open_commit":"0/0","ordinal":0}
//
// and, while a snapshot is under way (model/snapshot_state.h), with the OIDs of the tables that are finished, and what of
// others has arrived:
//
//   "snapshot":{"pending":true,"xmin":741,"finished":[16402],"begun":[{"oid":16410,"file_node":16410,"xmin":741,"next_block":2048,
//    "done":[[3072,4096]]}]}
//
// and once there were jobs that read tables again (model/snapshot_job.h), with "jobs" (model/snapshot_job_json.h).
//
// Each process writes under a key of its own, PIPELINE/INSTANCE. So one that was frozen, and wakes up after its successor
// wrote, replaces nothing of the successor's, whatever compaction keeps: the furthest record of the highest epoch counts.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "model/snapshot_job.h"
#include "model/snapshot_state.h"

namespace outboxx {

enum class StateKind : std::uint8_t {
  kIntent,    // written before the slot is created: a crash in between is no lost slot
  kProgress,  // everything before position has arrived
};

// Everything that commits before position has arrived, and of the transaction that commits at open_commit the first ordinal
// changes. open_commit is 0/0 unless a transaction was split.
struct Progress {
  Lsn position;
  Lsn open_commit;
  std::uint64_t ordinal = 0;

  friend constexpr auto operator<=>(const Progress&, const Progress&) = default;
};

struct StateRecord {
  StateKind kind = StateKind::kProgress;
  std::uint64_t epoch = 1;        // raised when an operator accepts a position that is not a continuation
  std::string system_identifier;  // IDENTIFY_SYSTEM
  std::uint32_t timeline = 0;
  std::uint32_t server_version = 0;  // 150020 for 15.20
  std::string database;
  std::string slot;
  std::uint32_t publication_oid = 0;
  Progress progress;
  SnapshotState snapshot{};
  SnapshotJobs jobs{};

  friend bool operator==(const StateRecord&, const StateRecord&) = default;
};

// A hole in the stream that an operator accepted. Its key is PIPELINE/gap/POSITION, so that compaction keeps it.
struct GapMarker {
  std::string database;
  std::string slot;
  Lsn from;  // the last position known to have arrived, 0/0 if none is
  Lsn to;    // where the stream goes on
  std::string reason;
};

[[nodiscard]] std::string encode(const StateRecord& record);
[[nodiscard]] std::string encode(const GapMarker& marker);
// A record is JSON, thus UTF-8: how a name stands in it, which is as it is but for bytes that are not UTF-8.
[[nodiscard]] std::string storable(const std::string& name);

inline constexpr std::size_t kStateRecordBytesMax = std::size_t{16} * 1024 * 1024;

// Trusts nothing. kState: no such record, or one of a newer format.
[[nodiscard]] Result<StateRecord> decode_state_record(std::string_view text);

// 16 hex digits.
inline constexpr std::size_t kInstanceSize = 16;
[[nodiscard]] std::string state_key(std::string_view pipeline, std::string_view instance);
[[nodiscard]] std::string gap_key(std::string_view pipeline, Lsn to);

// What the state topic says about one pipeline, message by message.
class StateHistory {
 public:
  explicit StateHistory(std::string pipeline) : pipeline_(std::move(pipeline)) {}

  // An empty value is a tombstone. Keys of others are passed over.
  [[nodiscard]] Result<> take(std::string_view key, std::string_view value);

  // The furthest record of the highest epoch; of two that came as far, the one whose snapshot did.
  [[nodiscard]] std::optional<StateRecord> newest() const;
  // Keys under which other processes left what tells nothing any more: behind what the slot has confirmed, and not the newest.
  [[nodiscard]] std::vector<std::string> outdated(Lsn confirmed) const;
  [[nodiscard]] const std::map<std::string, StateRecord>& records() const { return records_; }  // by key

 private:
  std::string pipeline_;
  std::map<std::string, StateRecord> records_;
};

}  // namespace outboxx
