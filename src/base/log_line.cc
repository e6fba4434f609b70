#include "base/log_line.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "base/scrub.h"

namespace outboxx::log {
namespace {

constexpr std::string_view kEllipsis = "...";
// Room kept for what ends a line that was cut: `..."` and `,"cut":true}`.
constexpr std::size_t kTailBytes = 16;
// What stands around the key of a field: `,"":""`.
constexpr std::size_t kFieldBytes = 6;

constexpr std::array<std::string_view, 5> kTextLevels = {"TRACE ", "DEBUG ", "INFO  ", "WARN  ", "ERROR "};
constexpr std::array<std::string_view, 5> kJsonLevels = {"trace", "debug", "info", "warn", "error"};

struct Decoded {
  std::size_t size = 0;  // 0: not UTF-8
  char32_t code = 0;
};

Decoded decode_utf8(std::string_view text) {
  const auto byte = [text](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) {
    return {1, lead};
  }
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) {
    return {};
  }
  char32_t code = lead & (0x7FU >> size);
  for (std::size_t at = 1; at < size; ++at) {
    if ((byte(at) & 0xC0) != 0x80) {
      return {};
    }
    code = code << 6 | (byte(at) & 0x3FU);
  }
  constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
  return code < kSmallest[size] || code > 0x10FFFF || is_surrogate ? Decoded{} : Decoded{size, code};
}

// Control characters of terminals, and what reorders or hides text, or ends a line for some readers.
bool is_unprintable(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || (code >= 0x200B && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
}

std::string hex(std::string_view prefix, std::uint32_t number, int digits) {
  std::string out(prefix);
  for (int digit = digits - 1; digit >= 0; --digit) {
    out.push_back("0123456789abcdef"[number >> (4 * digit) & 0xF]);
  }
  return out;
}

std::string escaped(char32_t code) {
  constexpr std::u32string_view kNamed = U"\n\r\t\"\\";
  constexpr std::string_view kNames = "nrt\"\\";
  const std::size_t at = kNamed.find(code);
  return at == kNamed.npos ? hex("\\u", static_cast<std::uint32_t>(code), 4) : std::string("\\") + kNames[at];
}

class Line {
 public:
  explicit Line(const LineStyle& style) : format_(style.format), room_(style.max_bytes - kTailBytes) {}

  void append(std::string_view text) { out_.append(text); }

  // Quotes and backslashes stay as they are outside of quotes: messages have names in quotes.
  void append_text(std::string_view text, bool in_quotes) {
    while (!text.empty() && !cut_) {
      const Decoded next = decode_utf8(text);
      const bool needs_escape = is_unprintable(next.code) || (in_quotes && (next.code == '"' || next.code == '\\'));
      if (next.size == 0) {
        append_unit(format_ == LogFormat::kJson ? "\xEF\xBF\xBD" : hex("\\x", static_cast<std::uint8_t>(text[0]), 2));
      } else if (needs_escape) {
        append_unit(escaped(next.code));
      } else {
        append_unit(text.substr(0, next.size));
      }
      text.remove_prefix(std::max<std::size_t>(next.size, 1));
    }
  }

  void append_quoted(std::string_view text) {
    append("\"");
    append_text(text, true);
    append("\"");
  }

  // False once the line is full.
  bool start_field(std::string_view key, std::size_t value_bytes) {
    if (!cut_ && out_.size() + key.size() + value_bytes + kFieldBytes > room_) {
      cut_ = true;
      append(format_ == LogFormat::kText ? " ..." : "");
    }
    return !cut_;
  }

  [[nodiscard]] bool is_cut() const { return cut_; }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void append_unit(std::string_view unit) {
    cut_ = out_.size() + unit.size() > room_;
    append(cut_ ? kEllipsis : unit);
  }

  LogFormat format_;
  std::size_t room_;
  std::string out_;
  bool cut_ = false;
};

std::string shown_value(const Field& field) {
  return names_secret(field.key) ? std::string("***") : scrub_secrets(field.value);
}

bool needs_quotes(std::string_view value) {
  return value.empty() || std::any_of(value.begin(), value.end(), [](char letter) {
           return letter <= ' ' || letter >= 0x7F || letter == '"' || letter == '=' || letter == '\\';
         });
}

std::string render_text(const LineStyle& style, Level level, std::string_view message, Fields fields) {
  Line line(style);
  line.append(kTextLevels[std::to_underlying(level)]);
  line.append_text(scrub_secrets(message), false);
  for (const Field& field : fields) {
    const std::string value = shown_value(field);
    if (!line.start_field(field.key, field.is_number ? value.size() : 0)) {
      break;
    }
    line.append(" ");
    line.append_text(field.key, false);
    line.append("=");
    if (needs_quotes(value)) {
      line.append_quoted(value);
    } else {
      line.append_text(value, false);
    }
  }
  return line.take();
}

std::string render_json(const LineStyle& style, Level level, std::string_view message, Fields fields) {
  Line line(style);
  line.append("\"level\":\"");
  line.append(kJsonLevels[std::to_underlying(level)]);
  line.append("\",\"message\":");
  line.append_quoted(scrub_secrets(message));
  for (const Field& field : fields) {
    const std::string value = shown_value(field);
    if (!line.start_field(field.key, field.is_number ? value.size() : 0)) {
      break;
    }
    line.append(",");
    line.append_quoted(field.key);
    line.append(":");
    if (field.is_number && !names_secret(field.key)) {
      line.append(value);
    } else {
      line.append_quoted(value);
    }
  }
  line.append(line.is_cut() ? ",\"cut\":true}" : "}");
  return line.take();
}

}  // namespace

std::string render_line(const LineStyle& style, Level level, std::string_view message, Fields fields) {
  switch (style.format) {
    case LogFormat::kText:
      return render_text(style, level, message, fields);
    case LogFormat::kJson:
      return render_json(style, level, message, fields);
  }
  return {};
}

std::string printable(std::string_view line) {
  const std::string scrubbed = scrub_secrets(line);
  std::string_view rest = scrubbed;
  std::string out;
  while (!rest.empty()) {
    const Decoded next = decode_utf8(rest);
    if (next.size == 0) {
      out.append(hex("\\x", static_cast<std::uint8_t>(rest[0]), 2));
    } else if (is_unprintable(next.code)) {
      out.append(escaped(next.code));
    } else {
      out.append(rest.substr(0, next.size));
    }
    rest.remove_prefix(std::max<std::size_t>(next.size, 1));
  }
  return out;
}

}  // namespace outboxx::log
