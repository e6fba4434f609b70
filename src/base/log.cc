#include "base/log.h"

#include <poll.h>
#include <spdlog/common.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "base/log_line.h"

namespace outboxx::log {
namespace {

// To the line's start, and nothing on it (ECMA-48: EL).
constexpr std::string_view kClearLine = "\r\x1b[K";
constexpr std::size_t kColumnsOfOld = 80;  // of a terminal that does not tell

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

  void set_status(std::string_view line) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (line != status_) {
      status_ = line;
      write_bytes(std::string(kClearLine) + status_);  // a terminal that takes nothing now gets the next one
    }
  }

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
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    const std::string_view text(line.data(), line.size());
    return write_bytes(status_.empty() ? text : std::string(kClearLine).append(text).append(status_));
  }

  static bool write_bytes(std::string_view bytes) {
    pollfd standard_error{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
    // Not with POLLERR either: the reader is gone, and a write would raise SIGPIPE.
    if (::poll(&standard_error, 1, 0) != 1 || standard_error.revents != POLLOUT) {
      return false;
    }
    ssize_t written = -1;
    do {
      written = ::write(STDERR_FILENO, bytes.data(), bytes.size());
    } while (written < 0 && errno == EINTR);
    return std::cmp_equal(written, bytes.size());
  }

  const std::atomic<LogFormat>& format_;
  std::string status_;
  std::uint64_t unreported_ = 0;
  std::atomic<std::uint64_t> dropped_{0};
};

struct Logger {
  std::atomic<LogFormat> format{LogFormat::kText};
  std::atomic<bool> may_have_status{true};
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

std::size_t status_columns() {
  const char* const terminal = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe): nobody sets the environment
  if (!instance().may_have_status || instance().format != LogFormat::kText || !enabled(Level::kInfo) ||
      ::isatty(STDERR_FILENO) == 0 || terminal == nullptr || std::string_view(terminal) == "dumb") {
    return 0;
  }
  winsize size{};
  const bool is_told = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return (is_told ? size.ws_col : kColumnsOfOld) - 1;  // some terminals go to the next line with the last column
}

void set_status(std::string_view line) {
  if (line.empty() || status_columns() > 0) {
    instance().sink->set_status(line);
  }
}

void forbid_status() {
  instance().may_have_status = false;
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
