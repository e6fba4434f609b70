#include "snapshot_mailbox.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/event_fd.h"

namespace outboxx {

SnapshotMailbox::SnapshotMailbox() : answers_event_(make_event()), letters_event_(make_event()) {}

std::optional<SnapshotMailbox::Ticket> SnapshotMailbox::submit(SnapshotCommand command) {
  const std::scoped_lock lock(mutex_);
  if (waiting_.size() >= kCommandsMax) {
    return std::nullopt;
  }
  letters_.push_back({.ticket = ++last_ticket_, .command = std::move(command)});
  waiting_.emplace(last_ticket_, std::nullopt);
  has_letters_ = true;
  ::eventfd_write(letters_event_.get(), 1);
  return last_ticket_;
}

std::optional<SnapshotAnswer> SnapshotMailbox::take_answer(Ticket ticket) {
  const std::scoped_lock lock(mutex_);
  const auto found = waiting_.find(ticket);
  if (found == waiting_.end() || !found->second) {
    return std::nullopt;
  }
  return waiting_.extract(found).mapped();
}

void SnapshotMailbox::withdraw(Ticket ticket) {
  const std::scoped_lock lock(mutex_);
  waiting_.erase(ticket);
  std::erase_if(letters_, [ticket](const Letter& letter) { return letter.ticket == ticket; });
}

void SnapshotMailbox::clear_answers_event() {
  eventfd_t unused = 0;
  ::eventfd_read(answers_event_.get(), &unused);
}

std::vector<JobView> SnapshotMailbox::jobs() const {
  const std::scoped_lock lock(mutex_);
  std::vector<JobView> jobs = queue_;
  jobs.insert(jobs.end(), ended_.begin(), ended_.end());
  return jobs;
}

std::vector<SnapshotMailbox::Letter> SnapshotMailbox::take_letters() {
  if (!has_letters_.load(std::memory_order_relaxed)) {
    return {};
  }
  eventfd_t unused = 0;
  ::eventfd_read(letters_event_.get(), &unused);
  const std::scoped_lock lock(mutex_);
  has_letters_ = false;
  return std::exchange(letters_, {});
}

void SnapshotMailbox::answer(Ticket ticket, SnapshotAnswer answer) {
  const std::scoped_lock lock(mutex_);
  const auto found = waiting_.find(ticket);
  if (found != waiting_.end()) {
    found->second = std::move(answer);
    ::eventfd_write(answers_event_.get(), 1);
  }
}

void SnapshotMailbox::set_queue(std::vector<JobView> queue) {
  const std::scoped_lock lock(mutex_);
  queue_ = std::move(queue);
}

void SnapshotMailbox::add_ended(JobView job) {
  const std::scoped_lock lock(mutex_);
  ended_.push_front(std::move(job));
  if (ended_.size() > kEndedMax) {
    ended_.pop_back();
  }
}

}  // namespace outboxx
