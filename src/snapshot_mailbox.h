// SnapshotMailbox: what operators ask of snapshots, from the HTTP thread to the loop and back. Bounded; nobody waits for the
// other under its lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "model/snapshot_job.h"

namespace outboxx {

struct SnapshotCommand {
  enum class Kind : std::uint8_t { kAdd, kPause, kResume, kCancel };

  Kind kind = Kind::kAdd;
  std::uint64_t job = 0;  // but for kAdd
  std::vector<std::string> tables{};
  std::string where{};
};

struct SnapshotAnswer {
  // Of HTTP.
  static constexpr int kAccepted = 202;
  static constexpr int kUnavailable = 503;

  int status = kAccepted;
  std::uint64_t job = 0;
  std::string message{};  // why not
};

// For people.
struct JobView {
  SnapshotJob job;
  std::string state;     // running, waiting, paused, complete, failed, canceled
  std::string reason{};  // of a failure
};

// Any thread.
class SnapshotMailbox {
 public:
  static constexpr std::size_t kCommandsMax = 64;
  static constexpr std::size_t kEndedMax = 16;
  using Ticket = std::uint64_t;
  struct Letter {
    Ticket ticket = 0;
    SnapshotCommand command;
  };

  SnapshotMailbox();

  // The asking side. Nothing: too many wait.
  [[nodiscard]] std::optional<Ticket> submit(SnapshotCommand command);
  [[nodiscard]] std::optional<SnapshotAnswer> take_answer(Ticket ticket);
  // Nobody waits for the answer any more.
  void withdraw(Ticket ticket);
  // Readable when there are answers; take_answer() of all that wait, after clear_answers_event().
  [[nodiscard]] int answers_fd() const { return answers_event_.get(); }
  void clear_answers_event();
  // Those in the queue, and the last that ended.
  [[nodiscard]] std::vector<JobView> jobs() const;

  // The loop's side. Readable when there are letters.
  [[nodiscard]] int letters_fd() const { return letters_event_.get(); }
  [[nodiscard]] std::vector<Letter> take_letters();
  void answer(Ticket ticket, SnapshotAnswer answer);
  void set_queue(std::vector<JobView> queue);
  void add_ended(JobView job);

 private:
  UniqueFd answers_event_;
  UniqueFd letters_event_;
  std::atomic<bool> has_letters_ = false;  // the loop looks at each turn: without a system call
  mutable std::mutex mutex_;
  Ticket last_ticket_ = 0;
  std::vector<Letter> letters_;
  std::map<Ticket, std::optional<SnapshotAnswer>> waiting_;
  std::vector<JobView> queue_;
  std::deque<JobView> ended_;
};

}  // namespace outboxx
