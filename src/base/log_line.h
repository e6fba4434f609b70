// render_line: a log line without its time, as text or JSON. Whatever the message and the values hold, the result is one line
// of printable UTF-8 that no terminal acts on, without secrets (base/scrub.h).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/log.h"

namespace outboxx::log {

struct LineStyle {
  LogFormat format = LogFormat::kText;
  std::size_t max_bytes = 4096;  // longer ones are cut, and say so by "..." and, as JSON, a last member "cut"; at least 128
};

// Text: `INFO  message key=value key="quoted value"`. JSON: `"level":"info","message":"...","key":"value"}`, to be put behind
// `{"time":"...",`.
[[nodiscard]] std::string render_line(const LineStyle& style, Level level, std::string_view message, Fields fields);

// A line for a terminal outside of the log (errors of commands, reports): the same without a limit. Line ends are escaped too.
[[nodiscard]] std::string printable(std::string_view line);

}  // namespace outboxx::log
