#include "base/log.h"

#include <poll.h>
#include <spdlog/common.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include "base/log_line.h"

namespace outboxx::log {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %v";
constexpr const char* kJsonPattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v)";
constexpr std::size_t kTimeBytes = 36;  // {"time":"2026-11-24T03:04:05.678Z",

// A pipe that poll(2) calls writable takes this much without blocking: Linux says so only if a whole page is free.
static_assert(PIPE_BUF >= 4096);
constexpr std::size_t kMaxLineBytes = 4096 - kTimeBytes - 1;

std::unique_ptr<spdlog::formatter> formatter_for(LogFormat format) {
  return std::make_unique<spdlog::pattern_formatter>(format == LogFormat::kText ? kTextPattern : kJsonPattern,
                                                     spdlog::pattern_time_type::utc, "\n");
}

spdlog::level::level_enum library_level(Level level) {
  switch (level) {
    case Level::kTrace:
      return spdlog::level::trace;
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// Asks before it writes. O_NONBLOCK is not the way: it belongs to the open file description, which we share with the shell
// and every other process that has it, and they would get EAGAIN. Other writers of the same pipe may still take the room
// between poll and write; our own threads cannot, for the base class holds its mutex around sink_it_().
class NonBlockingStderr final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit NonBlockingStderr(const std::atomic<LogFormat>& format) : format_(format) {}

  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if ((unreported_ > 0 && !write_report(message.time)) || !write_line(message)) {
      ++unreported_;
      dropped_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  void flush_() override {}

 private:
  bool write_report(spdlog::log_clock::time_point time) {
    const std::string text = render_line({.format = format_, .max_bytes = kMaxLineBytes}, Level::kWarn,
                                         "dropped " + std::to_string(unreported_) + " log lines", {});
    if (!write_line({time, {}, "", spdlog::level::warn, text})) {
      return false;
    }
    unreported_ = 0;
    return true;
  }

  bool write_line(const spdlog::details::log_msg& message) {
    pollfd standard_error{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    // Not with POLLERR either: the reader is gone, and a write would raise SIGPIPE.
    if (::poll(&standard_error, 1, 0) != 1 || standard_error.revents != POLLOUT) {
      return false;
    }
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    ssize_t written = -1;
    do {
      written = ::write(STDERR_FILENO, line.data(), line.size());
    } while (written < 0 && errno == EINTR);
    return std::cmp_equal(written, line.size());
  }

  const std::atomic<LogFormat>& format_;
  std::uint64_t unreported_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
};

struct Logger {
  std::atomic<LogFormat> format{LogFormat::kText};
  std::shared_ptr<NonBlockingStderr> sink = std::make_shared<NonBlockingStderr>(format);
  spdlog::logger logger{"outboxx", sink};

  Logger() {
    sink->set_formatter(formatter_for(format));
    logger.set_level(spdlog::level::info);
    logger.set_error_handler([](const std::string&) {});  // the default one writes to standard error, and may block
  }
};

// Never destroyed: other threads may log while the process exits.
Logger& instance() {
  static Logger& logger = *new Logger;
  return logger;
}

}  // namespace

void configure(Level level, LogFormat format) {
  Logger& target = instance();
  target.format = format;
  target.sink->set_formatter(formatter_for(format));
  target.logger.set_level(library_level(level));
}

void write(Level level, std::string_view message, Fields fields) {
  Logger& target = instance();
  const spdlog::level::level_enum at = library_level(level);
  if (target.logger.should_log(at)) {
    const std::string line = render_line({.format = target.format, .max_bytes = kMaxLineBytes}, level, message, fields);
    target.logger.log(at, spdlog::string_view_t(line.data(), line.size()));
  }
}

bool enabled(Level level) {
  return instance().logger.should_log(library_level(level));
}

std::uint64_t dropped_lines() {
  return instance().sink->dropped();
}

void error(const Error& failure) {
  const int code = std::to_underlying(failure.code);
  std::string_view message = failure.message;
  // As text, a line for each line: a configuration file may have many faults. The hint belongs to the last.
  if (instance().format == LogFormat::kText) {
    for (std::size_t end = message.find('\n'); end != std::string_view::npos; end = message.find('\n')) {
      error(message.substr(0, end), {{"code", code}});
      message.remove_prefix(end + 1);
    }
  }
  if (failure.hint.empty()) {
    error(message, {{"code", code}});
  } else {
    error(message, {{"hint", failure.hint}, {"code", code}});
  }
}

}  // namespace outboxx::log
