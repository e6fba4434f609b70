#include "model/snapshot_job.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace outboxx {
namespace {

constexpr std::uint64_t kWantedUs = 50'000;
constexpr std::uint64_t kRowsMin = 500;
constexpr std::uint64_t kRowsMax = 50'000;

}  // namespace

SnapshotJob* SnapshotJobs::find(std::uint64_t id) {
  const auto found = std::ranges::find(queue, id, &SnapshotJob::id);
  return found == queue.end() ? nullptr : &*found;
}

SnapshotJob* SnapshotJobs::next() {
  const auto found = std::ranges::find(queue, false, &SnapshotJob::is_paused);
  return found == queue.end() ? nullptr : &*found;
}

std::uint64_t SnapshotJobs::add(SnapshotJob job) {
  job.id = ++revision;
  queue.push_back(std::move(job));
  return revision;
}

bool SnapshotJobs::set_paused(std::uint64_t id, bool is_paused) {
  SnapshotJob* const job = find(id);
  if (job == nullptr) {
    return false;
  }
  job->is_paused = is_paused;
  ++revision;
  return true;
}

bool SnapshotJobs::remove(std::uint64_t id) {
  const bool is_known = std::erase_if(queue, [id](const SnapshotJob& job) { return job.id == id; }) > 0;
  revision += is_known ? 1 : 0;
  return is_known;
}

bool SnapshotJobs::arrive(std::uint64_t id, JobPlace place, std::uint64_t rows, bool ends_table) {
  SnapshotJob* const job = find(id);
  if (job == nullptr) {
    return false;  // canceled meanwhile
  }
  ++revision;
  job->rows += rows;
  job->place = ends_table ? JobPlace{} : std::move(place);
  job->tables_done += ends_table ? 1 : 0;
  if (job->tables_done < job->tables.size()) {
    return false;
  }
  queue.erase(queue.begin() + (job - queue.data()));
  return true;
}

std::uint64_t next_chunk_rows(std::uint64_t rows, std::uint64_t taken_us, std::uint64_t bytes_per_row) {
  const std::uint64_t wanted = rows * kWantedUs / std::max<std::uint64_t>(taken_us, 1);
  const std::uint64_t next = std::clamp(std::clamp(wanted, rows / 2, rows * 2), kRowsMin, kRowsMax);
  return std::clamp<std::uint64_t>(kChunkBytesMax / std::max<std::uint64_t>(bytes_per_row, 1), 1, next);
}

}  // namespace outboxx
