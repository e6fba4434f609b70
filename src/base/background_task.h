// BackgroundTask: work that waits (connecting, queries), on a thread of its own beside a loop that must not.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "base/wait.h"

namespace outboxx {

// Used by one thread, the loop's. What the work touches is its own from start() until take_end() said that it ended.
class BackgroundTask {
 public:
  // name: of the thread, at most 15 characters.
  explicit BackgroundTask(std::string name);
  // Stops the work and waits for its end.
  ~BackgroundTask();
  BackgroundTask(const BackgroundTask&) = delete;
  BackgroundTask& operator=(const BackgroundTask&) = delete;

  // One work at a time. It gives way soon when the signal it is given becomes readable.
  void start(std::function<void(StopSignal)> work);
  // Asks it to give way. It still ends, and take_end() says so.
  void stop();

  [[nodiscard]] bool is_running() const { return thread_.joinable(); }
  // Readable when it has ended.
  [[nodiscard]] int fd() const { return ended_.get(); }
  // Once for each work: it has ended.
  [[nodiscard]] bool take_end();

 private:
  std::string name_;
  UniqueFd ended_;  // eventfds
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace outboxx
