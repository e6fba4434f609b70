// Appends to JSON text what PostgreSQL sent as text. All functions keep what out already holds, and allocate only when its
// capacity is used up.
#pragma once

#include <string>
#include <string_view>

namespace outboxx {

// Appends text as a quoted JSON string (RFC 8259, section 7). Only the quote, the backslash and U+0000..U+001F are escaped, the
// latter as \b \t \n \f \r or \u00xx in lower case. All other bytes are copied, so that the result is UTF-8 if text is.
// prefix goes before it as it is: one growth of out for both.
void append_json_string(std::string& out, std::string_view text, std::string_view prefix = "");

// Appends an integer as it is. False, and nothing is appended, if text is not an integer of at most 19 digits that JSON allows.
[[nodiscard]] bool append_json_integer(std::string& out, std::string_view text);

// Appends the text of a float4 or float8 without exponent, by moving the point: the shortest digits that read back, rounding to
// even. False, and nothing is appended, if text is no number ("NaN", "Infinity"), or its exponent is beyond that of a float8.
[[nodiscard]] bool append_plain_decimal(std::string& out, std::string_view text);

[[nodiscard]] bool is_utf8(std::string_view text);

// Appends text with U+FFFD for each maximal ill-formed part (Unicode standard, section 3.9, "U+FFFD Substitution").
void append_as_utf8(std::string& out, std::string_view text);

}  // namespace outboxx
