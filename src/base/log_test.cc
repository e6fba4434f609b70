#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <regex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log_testing.h"
#include "base/time.h"
#include "base/unique_fd.h"

namespace outboxx {
namespace {

TEST(Log, WritesTextLines) {
  const StderrPipe pipe;
  log::info("streaming", {{"slot", "orders"}});
  log::warn("a\nb");
  EXPECT_EQ(pipe.read_lines(), "TIME INFO  streaming slot=orders\nTIME WARN  a\\nb\n");
}

TEST(Log, WritesJsonLines) {
  const StderrPipe pipe;
  log::configure(log::Level::kInfo, log::LogFormat::kJson);
  log::info("100% {} done", {{"slot", "orders"}, {"count", 2}});
  EXPECT_EQ(pipe.read_lines(),
            "{\"time\":\"TIME\",\"level\":\"info\",\"message\":\"100% {} done\",\"slot\":\"orders\",\"count\":2}\n");
}

TEST(Log, TimeIsUtcNow) {
  const StderrPipe pipe;
  const auto before = std::chrono::floor<std::chrono::milliseconds>(wall_now());
  log::info("m");
  const std::string line = pipe.read_all();
  std::tm parts{};
  ASSERT_NE(::strptime(line.c_str(), "%Y-%m-%dT%H:%M:%S", &parts), nullptr);
  const auto logged = std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts))) +
                      std::chrono::milliseconds(std::stoi(line.substr(20, 3)));
  EXPECT_GE(logged, before);
  EXPECT_LE(logged, wall_now());
}

TEST(Log, LeavesOutWhatIsBelowTheLevel) {
  const StderrPipe pipe;
  log::debug("hidden");
  log::configure(log::Level::kDebug, log::LogFormat::kText);
  log::debug("shown");
  log::write(log::Level::kTrace, "hidden");
  EXPECT_TRUE(log::enabled(log::Level::kDebug));
  EXPECT_FALSE(log::enabled(log::Level::kTrace));
  log::configure(log::Level::kError, log::LogFormat::kText);
  log::warn("hidden");
  log::error("shown");
  EXPECT_EQ(pipe.read_lines(), "TIME DEBUG shown\nTIME ERROR shown\n");
}

TEST(Log, ErrorsHaveHintAndCodeAndALineForEachLineOfTheMessage) {
  const StderrPipe pipe;
  const Error error{.code = ErrorCode::kConfig, .message = "first\nsecond", .hint = "Mend it.\nBoth.", .sqlstate = {}};
  log::error(error);
  EXPECT_EQ(pipe.read_lines(), "TIME ERROR first code=65\nTIME ERROR second hint=\"Mend it.\\nBoth.\" code=65\n");
  log::error(Error{.code = ErrorCode::kSlot, .message = "lost", .hint = {}, .sqlstate = {}});
  EXPECT_EQ(pipe.read_lines(), "TIME ERROR lost code=72\n");
  log::configure(log::Level::kInfo, log::LogFormat::kJson);
  log::error(error);
  EXPECT_EQ(pipe.read_lines(),
            "{\"time\":\"TIME\",\"level\":\"error\",\"message\":\"first\\nsecond\","
            "\"hint\":\"Mend it.\\nBoth.\",\"code\":65}\n");
}

TEST(Log, CutsALineAtWhatAPipeTakesAtOnce) {
  const StderrPipe pipe;
  for (const log::LogFormat format : {log::LogFormat::kText, log::LogFormat::kJson}) {
    log::configure(log::Level::kInfo, format);
    log::info(std::string(10'000, 'x'), {{"key", "value"}});
    const std::string line = pipe.read_all();
    EXPECT_LE(line.size(), std::size_t{PIPE_BUF});
    EXPECT_GT(line.size(), std::size_t{PIPE_BUF} - 64);
    EXPECT_TRUE(line.ends_with(format == log::LogFormat::kText ? "x...\n" : "x...\",\"cut\":true}\n")) << line;
  }
}

TEST(Log, ABlockedPipeNeverBlocksAndTheLossIsReported) {
  const StderrPipe pipe;
  const std::uint64_t before = log::dropped_lines();
  constexpr std::uint64_t kLines = 5000;  // more than a pipe holds
  for (std::uint64_t line = 0; line < kLines; ++line) {
    log::info("a line of some length");
  }
  const std::string sent = pipe.read_lines();
  const auto written = static_cast<std::uint64_t>(std::count(sent.begin(), sent.end(), '\n'));
  const std::uint64_t dropped = log::dropped_lines() - before;
  EXPECT_GT(dropped, 0U);
  EXPECT_EQ(written + dropped, kLines);
  EXPECT_TRUE(sent.ends_with("TIME INFO  a line of some length\n"));
  log::info("after");
  log::info("later");
  EXPECT_EQ(pipe.read_lines(),
            "TIME WARN  dropped " + std::to_string(dropped) + " log lines\nTIME INFO  after\nTIME INFO  later\n");
  EXPECT_EQ(log::dropped_lines() - before, dropped);
}

TEST(Log, AReaderThatWentAwayNeitherBlocksNorKills) {
  StderrPipe pipe;
  pipe.close_reader();
  const std::uint64_t before = log::dropped_lines();
  log::info("lost");
  EXPECT_EQ(log::dropped_lines(), before + 1);
}

TEST(Log, LinesOfManyThreadsStayWhole) {
  const StderrPipe pipe;
  constexpr int kThreads = 4;
  constexpr int kLines = 100;  // fewer than fill the pipe
  std::vector<std::jthread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([] {
      for (int line = 0; line < kLines; ++line) {
        log::info("line", {{"text", std::string(50, 'x')}});
      }
    });
  }
  threads.clear();
  std::string lines = pipe.read_lines();
  const std::string expected = "TIME INFO  line text=" + std::string(50, 'x') + "\n";
  std::uint64_t whole = 0;
  for (; lines.starts_with(expected); ++whole) {
    lines.erase(0, expected.size());
  }
  EXPECT_EQ(lines, "");
  EXPECT_EQ(whole, std::uint64_t{kThreads} * kLines);
}

TEST(Log, StatusLineStaysBelowTheLog) {
  const StderrTerminal terminal(80);
  EXPECT_EQ(log::status_columns(), 79U);
  log::info("one");
  log::set_status("40%");
  log::info("two");
  log::set_status("40%");
  log::set_status("41%");
  log::warn("three");
  log::set_status("");
  log::info("four");
  EXPECT_EQ(terminal.read_lines(),
            "TIME INFO  one\r\n"
            "\r\x1b[K40%"
            "\r\x1b[KTIME INFO  two\r\n40%"
            "\r\x1b[K41%"
            "\r\x1b[KTIME WARN  three\r\n41%"
            "\r\x1b[K"
            "TIME INFO  four\r\n");
}

TEST(Log, StatusLineIsForTerminalsThatShowTextOnly) {
  {
    const StderrPipe pipe;
    EXPECT_EQ(log::status_columns(), 0U);
    log::set_status("40%");
    log::info("one");
    EXPECT_EQ(pipe.read_lines(), "TIME INFO  one\n");
  }
  const StderrTerminal terminal(0);
  EXPECT_EQ(log::status_columns(), 79U) << "the terminal does not tell";
  log::configure(log::Level::kWarn, log::LogFormat::kText);
  EXPECT_EQ(log::status_columns(), 0U) << "quiet";
  log::configure(log::Level::kInfo, log::LogFormat::kJson);
  EXPECT_EQ(log::status_columns(), 0U) << "JSON";
  log::set_status("40%");
  EXPECT_EQ(terminal.read_lines(), "");
  log::configure(log::Level::kInfo, log::LogFormat::kText);
  ::setenv("TERM", "dumb", 1);
  EXPECT_EQ(log::status_columns(), 0U);
}

TEST(Log, StatusLineNeverWaitsForATerminalThatIsStopped) {
  const StderrTerminal terminal(80);
  EXPECT_EQ(::tcflow(STDERR_FILENO, TCOOFF), 0);
  log::set_status("40%");
  log::info("dropped");
  EXPECT_EQ(::tcflow(STDERR_FILENO, TCOON), 0);
  log::set_status("41%");
  EXPECT_EQ(terminal.read_lines(), "\r\x1b[K41%");
  log::set_status("");
}

}  // namespace
}  // namespace outboxx
