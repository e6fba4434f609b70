#include "config_rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace outboxx {
namespace {

bool is_letter_or_underscore(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

bool is_identifier(std::string_view text) {
  return is_letter_or_underscore(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_letter_or_underscore(c) || is_digit(c); });
}

bool is_stream_name(std::string_view text) {
  return is_letter_or_underscore(text.front()) &&
         std::ranges::all_of(text, [](char c) { return is_letter_or_underscore(c) || is_digit(c) || c == '-'; });
}

bool is_topic(std::string_view text) {
  return text != "." && text != ".." &&
         std::ranges::all_of(text, [](char c) { return is_letter_or_underscore(c) || is_digit(c) || c == '.' || c == '-'; });
}

bool is_table_name(std::string_view text) {
  const std::size_t dot = text.find('.');
  const std::string_view first = text.substr(0, dot);
  const std::string_view second = dot == std::string_view::npos ? first : text.substr(dot + 1);
  const auto is_name = [](std::string_view name) {
    return !name.empty() && name.size() <= kIdentifierBytesMax && name.find('.') == std::string_view::npos;
  };
  return is_name(first) && is_name(second);
}

bool is_ip_address(std::string_view text) {
  in6_addr address{};
  const std::string copy(text);
  return inet_pton(AF_INET, copy.c_str(), &address) == 1 || inet_pton(AF_INET6, copy.c_str(), &address) == 1;
}

bool is_operation(std::string_view text) {
  return text == "insert" || text == "update" || text == "delete" || text == "read";
}

bool is_environment_variable(std::string_view text) {
  return text.find('=') == std::string_view::npos;
}

bool is_conventional_variable(std::string_view text) {
  return !is_digit(text.front()) &&
         std::ranges::all_of(text, [](char c) { return (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_'; });
}

}  // namespace outboxx
