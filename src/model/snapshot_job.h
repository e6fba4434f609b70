// SnapshotJob: tables that are to be read again, or for the first time, while the stream goes on. Kept in the state record, so
// that a restart goes on with it.
//
// A table is read in chunks of its key's order; a partitioned one leaf by leaf, in the order of their OIDs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace outboxx {

// Who wants it.
enum class JobKind : std::uint8_t {
  kRequested,  // an operator
  kAdded,      // the configuration, which names a table that it did not name before
};

// What a column of a key had in the last row that has arrived.
struct PlaceColumn {
  std::string name;
  std::string value;
  std::string order;  // what it was sorted by, as KeyColumn has it; empty: the record is older than that

  friend bool operator==(const PlaceColumn&, const PlaceColumn&) = default;
};

// Everything up to there has arrived: the leaves up to leaf_done, and of the leaf key_leaf the rows up to key.
struct JobPlace {
  std::uint32_t leaf_done = 0;
  std::uint32_t key_leaf = 0;
  std::vector<PlaceColumn> key;  // empty: nothing of key_leaf

  friend bool operator==(const JobPlace&, const JobPlace&) = default;
};

struct SnapshotJob {
  std::uint64_t id = 0;
  JobKind kind = JobKind::kRequested;
  std::vector<std::string> tables;  // schema.table, as the configuration has it
  std::string where;                // SQL; empty: all rows
  bool is_paused = false;
  std::size_t tables_done = 0;
  JobPlace place{};        // in the table after those
  std::uint64_t rows = 0;  // that were read

  [[nodiscard]] const std::string& table() const { return tables[tables_done]; }

  friend bool operator==(const SnapshotJob&, const SnapshotJob&) = default;
};

// The queue. Revision grows with each change, in all processes: of two records the one with the higher one is newer, and a new
// job takes it as its id.
struct SnapshotJobs {
  std::uint64_t revision = 0;
  bool watches_tables = false;  // tables that the record's snapshot does not know are to be read
  std::vector<SnapshotJob> queue{};

  [[nodiscard]] SnapshotJob* find(std::uint64_t id);
  // The one whose turn it is: the first that is not paused.
  [[nodiscard]] SnapshotJob* next();

  std::uint64_t add(SnapshotJob job);  // the id it got
  // False: there is no such job.
  [[nodiscard]] bool set_paused(std::uint64_t id, bool is_paused);
  [[nodiscard]] bool remove(std::uint64_t id);
  // A chunk of the job has arrived. ends_table: nothing is left of its table. True: nothing is left of the job, which is gone.
  [[nodiscard]] bool arrive(std::uint64_t id, JobPlace place, std::uint64_t rows, bool ends_table);

  friend bool operator==(const SnapshotJobs&, const SnapshotJobs&) = default;
};

// How many rows the next chunk is to have, so that reading one takes about 50 ms. bytes_per_row:
// of the last one.
[[nodiscard]] std::uint64_t next_chunk_rows(std::uint64_t rows, std::uint64_t taken_us, std::uint64_t bytes_per_row);
inline constexpr std::uint64_t kFirstChunkRows = 2000;
inline constexpr std::uint64_t kChunkBytesMax = std::uint64_t{8} * 1024 * 1024;

}  // namespace outboxx
