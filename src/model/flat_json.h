// The JSON of our own state: one object of strings and whole numbers. The reader trusts nothing.
//
//   object = "{" [ member *( "," member ) ] "}"    member = string ":" ( string | 1*20DIGIT )
//
// with blanks between tokens; strings without surrogate pairs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace outboxx {

using FlatJson = std::map<std::string, std::variant<std::string, std::uint64_t>, std::less<>>;

// Nothing if text is anything else.
[[nodiscard]] std::optional<FlatJson> parse_flat_json(std::string_view text);

// Writes {"name":"text","name":1}.
class FlatJsonWriter {
 public:
  void add(std::string_view name, std::string_view text);
  void add(std::string_view name, std::uint64_t number);
  [[nodiscard]] std::string finish() &&;

 private:
  void add_name(std::string_view name);

  std::string out_ = "{";
};

}  // namespace outboxx
