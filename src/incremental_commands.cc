// What IncrementalSnapshot is asked: jobs that are added, paused, resumed and canceled.
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "incremental.h"
#include "model/snapshot_job.h"
#include "snapshot_mailbox.h"

namespace outboxx {
namespace {

// What a job adds to the state record beyond some hundred bytes.
std::size_t text_bytes(const std::vector<std::string>& tables, const std::string& where) {
  std::size_t bytes = where.size();
  for (const std::string& table : tables) {
    bytes += table.size();
  }
  return bytes;
}

}  // namespace

void IncrementalSnapshot::take_commands() {
  for (const SnapshotMailbox::Letter& letter : mailbox_.take_letters()) {
    if (unrecorded_.size() >= kUnrecordedMax) {
      mailbox_.answer(letter.ticket, {.status = SnapshotAnswer::kUnavailable,
                                      .message = "too many requests wait to be recorded: Kafka takes no record"});
      continue;
    }
    SnapshotAnswer answer = obey(letter.command);
    if (answer.status == SnapshotAnswer::kAccepted && is_recorded_ && jobs_.revision > recorded_revision_) {
      unrecorded_.push_back({.ticket = letter.ticket, .revision = jobs_.revision, .answer = std::move(answer)});
    } else {
      mailbox_.answer(letter.ticket, std::move(answer));
    }
  }
}

void IncrementalSnapshot::recorded(std::uint64_t revision) {
  if (revision == recorded_revision_) {
    return;
  }
  recorded_revision_ = revision;
  published_revision_ = jobs_.revision + 1;  // anew: what was not recorded is
  std::erase_if(unrecorded_, [this](Unrecorded& pending) {
    if (pending.revision > recorded_revision_) {
      return false;
    }
    mailbox_.answer(pending.ticket, std::move(pending.answer));
    return true;
  });
  std::erase_if(endings_, [this](const Ending& ending) {
    if (ending.revision > recorded_revision_) {
      return false;
    }
    tell(ending);
    return true;
  });
}

// Whether their records have arrived nobody knows.
void IncrementalSnapshot::answer_unrecorded() {
  for (const Unrecorded& pending : std::exchange(unrecorded_, {})) {
    log::warn("the session ended before a request about a snapshot job was recorded", {{"job", pending.answer.job}});
    mailbox_.answer(pending.ticket, {.status = SnapshotAnswer::kUnavailable,
                                     .message = "the session ended before it was recorded; GET /snapshots tells whether it "
                                                "counts, once the next session streams"});
  }
}

SnapshotAnswer IncrementalSnapshot::obey(const SnapshotCommand& command) {
  bool is_known = false;
  switch (command.kind) {
    case SnapshotCommand::Kind::kAdd:
      return add_job(command);
    case SnapshotCommand::Kind::kPause:
    case SnapshotCommand::Kind::kResume:
      is_known = jobs_.set_paused(command.job, command.kind == SnapshotCommand::Kind::kPause);
      break;
    case SnapshotCommand::Kind::kCancel:
      if (const SnapshotJob* const found = jobs_.find(command.job)) {
        SnapshotJob job = *found;
        is_known = jobs_.remove(command.job);
        end_job({.revision = jobs_.revision, .job = std::move(job), .is_complete = false}, is_recorded_);
      }
      break;
  }
  if (!is_known) {
    return {.status = 404, .job = command.job, .message = "there is no job " + std::to_string(command.job) + " in the queue"};
  }
  if (command.job == job_) {
    retry_at_ = {};  // what it waited for is nothing to the next one, and may be gone
    retries_ = 0;
  }
  log::info(command.kind == SnapshotCommand::Kind::kCancel  ? "snapshot job canceled"
            : command.kind == SnapshotCommand::Kind::kPause ? "snapshot job paused"
                                                            : "snapshot job resumed",
            {{"job", command.job}});
  commanded_revision_ = jobs_.revision;
  return {.job = command.job};
}

SnapshotAnswer IncrementalSnapshot::add_job(const SnapshotCommand& command) {
  if (jobs_.queue.size() >= kJobsMax) {
    return {.status = SnapshotAnswer::kUnavailable, .message = "the queue is full: " + std::to_string(kJobsMax) + " jobs"};
  }
  std::size_t bytes = text_bytes(command.tables, command.where);
  for (const SnapshotJob& job : jobs_.queue) {
    bytes += text_bytes(job.tables, job.where);
  }
  if (bytes > kJobsBytesMax) {
    return {
        .status = SnapshotAnswer::kUnavailable,
        .message = "the queue is full: its tables and conditions have more than " + std::to_string(kJobsBytesMax) + " bytes"};
  }
  for (const std::string& table : command.tables) {
    if (find_stream(table) == nullptr) {
      return {.status = 404, .message = "no stream of the configuration lists \"read\" for table \"" + table + "\""};
    }
  }
  const std::uint64_t id = jobs_.add({.kind = JobKind::kRequested, .tables = command.tables, .where = command.where});
  log::info("snapshot job accepted", {{"job", id}, {"tables", command.tables.size()}, {"table", command.tables.front()}});
  if (!is_recorded_) {
    log::warn("no state is kept: the snapshot job is lost if this process ends before it is complete", {{"job", id}});
  }
  commanded_revision_ = jobs_.revision;
  return {.job = id};
}

}  // namespace outboxx
