#include "base/scrub.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace outboxx {
namespace {

constexpr std::array<std::string_view, 3> kSecretWords = {"password", "passwd", "secret"};
constexpr std::string_view kMask = "***";
constexpr std::string_view kBlanks = " \t\r\n";

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

bool starts_with_word(std::string_view text, std::string_view word) {
  return text.size() >= word.size() && std::equal(word.begin(), word.end(), text.begin(),
                                                  [](char expected, char actual) { return expected == lower(actual); });
}

bool is_quote(char letter) {
  return letter == '"' || letter == '\'';
}

// The length of the secret word text starts with; 0 if none.
std::size_t secret_word(std::string_view text) {
  for (const std::string_view word : kSecretWords) {
    if (starts_with_word(text, word)) {
      return word.size();
    }
  }
  return 0;
}

std::size_t skip_blanks(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(kBlanks, at), text.size());
}

// Where the value that follows a secret word starts; 0 if none does. A colon counts only behind a property name ("x.password:")
// or a quoted one, as in JSON: in prose it ends a clause.
std::size_t value_start(std::string_view text, bool is_property) {
  const bool is_quoted = !text.empty() && is_quote(text[0]);
  const std::size_t at = skip_blanks(text, is_quoted ? 1 : 0);
  if (at == text.size() || (text[at] != '=' && !(text[at] == ':' && (is_quoted || is_property)))) {
    return 0;
  }
  return skip_blanks(text, at + 1);
}

// Where the value that text starts with ends. A quoted one that is not closed reaches to the end: the text may be a fragment.
std::size_t value_end(std::string_view text) {
  if (text.empty() || !is_quote(text[0])) {
    return std::min(text.find_first_of(kBlanks), text.size());
  }
  for (std::size_t at = 1; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == text[0]) {
      return at + 1;
    }
  }
  return text.size();
}

std::string without_assignments(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t word = secret_word(text.substr(at));
    if (word == 0) {
      out.push_back(text[at++]);
      continue;
    }
    const bool is_property = at > 0 && text[at - 1] == '.';
    out.append(text.substr(at, word));
    at += word;
    const std::size_t start = value_start(text.substr(at), is_property);
    if (start == 0 || at + start == text.size()) {
      continue;
    }
    out.append(text.substr(at, start)).append(kMask);
    at += start;
    at += value_end(text.substr(at));
  }
  return out;
}

// A password may itself hold '@', ':' and '/' if somebody forgot to percent-encode it: it ends at the last '@' of the word.
std::string without_userinfo(std::string text) {
  for (std::size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
    const std::size_t begin = at + 3;
    const std::size_t end = std::min(text.find_first_of(kBlanks, begin), text.size());
    const std::size_t at_sign = text.rfind('@', end - 1);
    const std::size_t colon = text.find(':', begin);
    if (at_sign != std::string::npos && at_sign > begin && colon < at_sign) {
      text.replace(colon + 1, at_sign - colon - 1, kMask);
    }
  }
  return text;
}

std::string without_private_key(std::string text) {
  const std::size_t label = text.find("PRIVATE KEY-----");
  if (label != std::string::npos) {
    const std::size_t begin = text.rfind("-----BEGIN", label);
    text.replace(begin == std::string::npos ? 0 : begin, std::string::npos, kMask);
  }
  return text;
}

}  // namespace

std::string scrub_secrets(std::string_view text) {
  return without_private_key(without_userinfo(without_assignments(text)));
}

bool names_secret(std::string_view name) {
  return std::any_of(kSecretWords.begin(), kSecretWords.end(), [name](std::string_view word) {
    return name.size() >= word.size() && starts_with_word(name.substr(name.size() - word.size()), word);
  });
}

}  // namespace outboxx
