// Structured log on standard error: a message and key=value fields, as text or as one JSON object a line.
//
// A blocked pipe never blocks the caller: a line that cannot be written at once is dropped and counted, and the count is
// logged when the pipe takes lines again. May be called from any thread (the library holds a mutex for the write). No secrets
// and no row data in messages or fields; what looks like a password is hidden all the same (base/scrub.h).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/lsn.h"

namespace outboxx::log {

enum class Level : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError };
enum class LogFormat : std::uint8_t { kText, kJson };

struct Field {
  Field(std::string_view name, std::string_view text) : key(name), value(text) {}
  Field(std::string_view name, const char* text) : key(name), value(text) {}
  Field(std::string_view name, const std::string& text) : key(name), value(text) {}
  Field(std::string_view name, Lsn lsn) : key(name), value(to_string(lsn)) {}
  template <std::integral T>
  Field(std::string_view name, T number) : key(name), value(std::to_string(number)), is_number(true) {}

  std::string_view key;
  std::string value;
  bool is_number = false;
};
using Fields = std::initializer_list<Field>;

// Call once, before other threads start. Before it: text, info and above.
void configure(Level level, LogFormat format);

void write(Level level, std::string_view message, Fields fields = {});
[[nodiscard]] bool enabled(Level level);

// The status line: below the last log line, for what changes too often to be logged; cleared before each log line and drawn
// again after it. How long it may be; 0: nobody would see it, for standard error is no terminal, or the log is JSON or quiet.
[[nodiscard]] std::size_t status_columns();
// Draws it, one line of ASCII; empty takes it away. Does nothing if status_columns() is 0.
void set_status(std::string_view line);
// Before other threads start: standard output's records go to the same terminal, perhaps through other programs.
void forbid_status();

// Lines dropped because standard error did not take them; also a metric.
[[nodiscard]] std::uint64_t dropped_lines();

inline void debug(std::string_view message, Fields fields = {}) {
  write(Level::kDebug, message, fields);
}
inline void info(std::string_view message, Fields fields = {}) {
  write(Level::kInfo, message, fields);
}
inline void warn(std::string_view message, Fields fields = {}) {
  write(Level::kWarn, message, fields);
}
inline void error(std::string_view message, Fields fields = {}) {
  write(Level::kError, message, fields);
}

// The message, the hint and the exit code. As text, each line of a message is a log line of its own.
void error(const Error& failure);

}  // namespace outboxx::log
