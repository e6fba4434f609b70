// For tests: what the log writes to standard error.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <regex>
#include <string>

#include "base/log.h"
#include "base/unique_fd.h"

namespace outboxx {

// All that is there to be read now.
inline std::string read_available(const UniqueFd& fd) {
  std::string out;
  std::array<char, 65536> buffer{};
  for (ssize_t size = 0; (size = ::read(fd.get(), buffer.data(), buffer.size())) > 0;) {
    out.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return out;
}

// With "TIME" for what looks like the time.
inline std::string without_time(const std::string& text) {
  static const std::regex kTime(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)");
  return std::regex_replace(text, kTime, "TIME");
}

// Standard error is a pipe while this lives.
class StderrPipe {
 public:
  StderrPipe() : saved_(::dup(STDERR_FILENO)) {
    std::array<int, 2> fds{-1, -1};
    EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
    reader_ = UniqueFd(fds[0]);
    const UniqueFd writer(fds[1]);
    EXPECT_EQ(::fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);  // the reader's own description
    EXPECT_EQ(::dup2(writer.get(), STDERR_FILENO), STDERR_FILENO);
    log::info("reports what an earlier test dropped");
    read_all();
  }
  StderrPipe(const StderrPipe&) = delete;
  StderrPipe& operator=(const StderrPipe&) = delete;
  ~StderrPipe() {
    ::dup2(saved_.get(), STDERR_FILENO);
    log::configure(log::Level::kInfo, log::LogFormat::kText);
  }

  void close_reader() { reader_ = UniqueFd(); }

  std::string read_all() const { return read_available(reader_); }

  // With "TIME" for what looks like the time.
  std::string read_lines() const { return without_time(read_all()); }

 private:
  UniqueFd saved_;
  UniqueFd reader_;
};

// Standard error is a terminal of so many columns while this lives.
class StderrTerminal {
 public:
  explicit StderrTerminal(unsigned short columns) : saved_(::dup(STDERR_FILENO)) {
    const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    int screen = -1;
    int terminal = -1;
    EXPECT_EQ(::openpty(&screen, &terminal, nullptr, nullptr, &size), 0);
    screen_ = UniqueFd(screen);
    const UniqueFd opened(terminal);
    EXPECT_EQ(::fcntl(screen, F_SETFL, O_NONBLOCK), 0);
    EXPECT_EQ(::dup2(terminal, STDERR_FILENO), STDERR_FILENO);
    ::setenv("TERM", "xterm", 1);
    log::info("reports what an earlier test dropped");
    (void)read_available(screen_);
  }
  StderrTerminal(const StderrTerminal&) = delete;
  StderrTerminal& operator=(const StderrTerminal&) = delete;
  ~StderrTerminal() {
    ::dup2(saved_.get(), STDERR_FILENO);
    log::configure(log::Level::kInfo, log::LogFormat::kText);
  }

  [[nodiscard]] std::string read_lines() const { return without_time(read_available(screen_)); }

 private:
  UniqueFd saved_;
  UniqueFd screen_;
};

}  // namespace outboxx
