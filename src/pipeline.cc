#include "pipeline.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "base/log.h"

namespace outboxx {
namespace {

using std::chrono::milliseconds;

// The loop turns at least this often, so that /healthz can tell an idle loop from a stuck one.
constexpr milliseconds kLongestWait{10'000};

}  // namespace

Pipeline::Pipeline(const Parts& parts, const PipelineOptions& options, const SessionStart& start, TimePoint now)
    : session_({.stream = parts.stream,
                .sink = parts.sink,
                .metrics = parts.metrics,
                .streams = parts.streams,
                .snapshot = parts.snapshot,
                .incremental = parts.incremental},
               options, start, now),
      sink_(parts.sink),
      monitor_(parts.monitor),
      signals_(parts.signals),
      options_(options),
      ends_with_snapshot_(start.ends_with_snapshot) {}

Result<> Pipeline::run() {
  TRY(session_.begin(Clock::now()));
  while (!session_.ended()) {
    const Ready ready = TRY(wait(Clock::now()));
    const TimePoint now = Clock::now();
    if (ready.signal) {
      TRY(follow_signal(now));
    }
    TRY(serve_monitor(ready.monitor, now));
    TRY(session_.turn(ready.session, now));
  }
  return {};
}

Result<Pipeline::Ready> Pipeline::wait(TimePoint now) {
  const Session::Wait session_wait = session_.prepare_wait(now);
  // While nothing is read, poll(2) tells the end of the connection only if it is asked.
  const int postgres_events = session_wait.postgres.events | (session_wait.reading ? 0 : POLLRDHUP);
  fds_.assign({
      {session_wait.postgres.fd, static_cast<short>(postgres_events), 0},
      sink_.poll_fd(),
      {signals_.stop().fd, POLLIN, 0},
      {monitor_ != nullptr ? monitor_->fd() : -1, POLLIN, 0},
  });
  fds_.insert(fds_.end(), session_wait.snapshot.begin(), session_wait.snapshot.end());
  TimePoint deadline = std::min(session_wait.until, now + kLongestWait);
  if (monitor_ != nullptr) {
    deadline = std::min(deadline, monitor_->next_wake());
  }
  // Rounded up: a wait that ends a fraction of a millisecond early would spin until its deadline.
  const auto timeout = std::max(std::chrono::ceil<milliseconds>(deadline - now), milliseconds{0});
  if (::poll(fds_.data(), fds_.size(), static_cast<int>(timeout.count())) < 0 && errno != EINTR) {
    return fail(ErrorCode::kInternal, std::string("could not wait for events: ") + std::strerror(errno));
  }
  if (!session_wait.reading && (fds_[0].revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0) {
    // Now, not when reading goes on: what is queued must not land after what a successor sends.
    return fail(ErrorCode::kPostgresUnreachable, "lost the connection to PostgreSQL: it was closed while reading was paused");
  }
  return Ready{
      .session = {.postgres = fds_[0].revents != 0, .heard = (fds_[0].revents & POLLIN) != 0, .sink = fds_[1].revents != 0},
      .signal = fds_[2].revents != 0,
      .monitor = fds_[3].revents != 0};
}

Result<> Pipeline::serve_monitor(bool ready, TimePoint now) {
  if (monitor_ == nullptr) {
    return {};
  }
  if (ready) {
    monitor_->on_ready(now);
  }
  monitor_->on_time(now);
  if (monitor_->was_admin_shutdown()) {
    session_.server_is_stopping(now);
  } else {
    session_.server_takes_sessions();
  }
  return session_.stopping() ? Result<>() : monitor_->tables();
}

Result<> Pipeline::follow_signal(TimePoint now) {
  if (ends_with_snapshot_ && !session_.stopping()) {  // the signal is left, for the exit code
    return fail(ErrorCode::kInterrupted, "stopped before all rows had arrived",
                "Nothing is recorded of a snapshot that is read alone: it begins anew at the next start.");
  }
  while (const auto signal = signals_.take()) {
    const char* const name = *signal == SIGTERM ? "SIGTERM" : "SIGINT";
    if (std::exchange(was_signaled_, true)) {
      log::warn("second signal, ending at once; what was not confirmed will be sent again", {{"signal", name}});
      std::_Exit(128 + *signal);
    }
    log::info("stopping: waiting for what was read to be delivered",
              {{"signal", name}, {"timeout_ms", options_.drain_timeout.count()}});
    if (!session_.stopping()) {  // a snapshot that is read alone has ended by itself
      session_.stop(now);
    }
  }
  return {};
}

}  // namespace outboxx
