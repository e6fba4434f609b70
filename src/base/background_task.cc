#include "base/background_task.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/event_fd.h"
#include "base/wait.h"

namespace outboxx {

BackgroundTask::BackgroundTask(std::string name) : name_(std::move(name)), ended_(make_event()), stop_(make_event()) {}

BackgroundTask::~BackgroundTask() {
  if (is_running()) {
    stop();
    thread_.join();
  }
}

void BackgroundTask::start(std::function<void(StopSignal)> work) {
  CHECK(!is_running());
  eventfd_t unused = 0;
  ::eventfd_read(stop_.get(), &unused);  // of the work before
  thread_ = std::thread([work = std::move(work), name = name_, stop = StopSignal{stop_.get()}, ended = ended_.get()] {
    ::pthread_setname_np(::pthread_self(), name.c_str());
    work(stop);
    ::eventfd_write(ended, 1);
  });
}

void BackgroundTask::stop() {
  ::eventfd_write(stop_.get(), 1);
}

bool BackgroundTask::take_end() {
  eventfd_t count = 0;
  if (!is_running() || ::eventfd_read(ended_.get(), &count) != 0) {
    return false;
  }
  thread_.join();
  return true;
}

}  // namespace outboxx
