#include "model/flat_json.h"

#include <charconv>
#include <cstddef>
#include <system_error>
#include <utility>

namespace outboxx {
namespace {

constexpr std::size_t kTextBytesMax = std::size_t{64} * 1024;

void append_quoted(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      out.append("\\u00");
      out.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
      out.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void append_utf8(std::string& out, unsigned code) {
  const auto push = [&out](unsigned byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (code < 0x80) {
    push(code);
  } else if (code < 0x800) {
    push(0xC0 | code >> 6);
    push(0x80 | (code & 0x3F));
  } else {
    push(0xE0 | code >> 12);
    push(0x80 | (code >> 6 & 0x3F));
    push(0x80 | (code & 0x3F));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  std::optional<FlatJson> parse() {
    FlatJson members;
    if (!take('{')) {
      return std::nullopt;
    }
    if (!take('}')) {
      do {
        if (!parse_member(members)) {
          return std::nullopt;
        }
      } while (take(','));
      if (!take('}')) {
        return std::nullopt;
      }
    }
    skip_blanks();
    return rest_.empty() ? std::optional(std::move(members)) : std::nullopt;
  }

 private:
  void skip_blanks() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n' || rest_[0] == '\r' || rest_[0] == '\t')) {
      rest_.remove_prefix(1);
    }
  }

  bool take(char wanted) {
    skip_blanks();
    if (rest_.empty() || rest_[0] != wanted) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }

  // A name that stands there twice is an error: which one would count?
  bool parse_member(FlatJson& members) {
    auto name = parse_string();
    if (!name || !take(':')) {
      return false;
    }
    skip_blanks();
    if (rest_.starts_with('"')) {
      auto text = parse_string();
      return text && members.emplace(*std::move(name), *std::move(text)).second;
    }
    const auto number = parse_number();
    return number && members.emplace(*std::move(name), *number).second;
  }

  std::optional<std::uint64_t> parse_number() {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number);
    if (error != std::errc()) {
      return std::nullopt;
    }
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return number;
  }

  std::optional<std::string> parse_string() {
    if (!take('"')) {
      return std::nullopt;
    }
    std::string text;
    while (!rest_.empty()) {
      const char c = rest_[0];
      rest_.remove_prefix(1);
      if (c == '"') {
        return text;
      }
      if (static_cast<unsigned char>(c) < 0x20 || (c == '\\' && !parse_escape(text))) {
        return std::nullopt;
      }
      if (c != '\\') {
        text.push_back(c);
      }
    }
    return std::nullopt;
  }

  bool parse_escape(std::string& text) {
    if (rest_.empty()) {
      return false;
    }
    const char c = rest_[0];
    rest_.remove_prefix(1);
    constexpr std::string_view kEscapes = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (const auto index = kEscapes.find(c); index != std::string_view::npos) {
      text.push_back(kMeanings[index]);
      return true;
    }
    unsigned code = 0;
    if (c != 'u' || rest_.size() < 4) {
      return false;
    }
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + 4, code, 16);
    if (error != std::errc() || end != rest_.data() + 4 || (code >= 0xD800 && code < 0xE000)) {
      return false;
    }
    rest_.remove_prefix(4);
    append_utf8(text, code);
    return true;
  }

  std::string_view rest_;
};

}  // namespace

std::optional<FlatJson> parse_flat_json(std::string_view text) {
  return text.size() > kTextBytesMax ? std::nullopt : Parser(text).parse();
}

void FlatJsonWriter::add_name(std::string_view name) {
  if (out_.size() > 1) {
    out_.push_back(',');
  }
  append_quoted(out_, name);
  out_.push_back(':');
}

void FlatJsonWriter::add(std::string_view name, std::string_view text) {
  add_name(name);
  append_quoted(out_, text);
}

void FlatJsonWriter::add(std::string_view name, std::uint64_t number) {
  add_name(name);
  out_.append(std::to_string(number));
}

std::string FlatJsonWriter::finish() && {
  out_.push_back('}');
  return std::move(out_);
}

}  // namespace outboxx
