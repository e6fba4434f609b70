// binary_text: PostgreSQL's text of a value, made from its binary form, for binary COPY. The bytes are those of the type's send
// function (PostgreSQL: src/backend/utils/adt, *_send); the text is that of its output function, character by character, as
// COPY in text format and the replication stream have it, under the settings that Connection pins.
//
// A type that is not known here is selected as textin(typoutput(column)), typoutput being its output function in pg_type. Not
// as column::text: that is another text for bool, "char", character(n), inet, cidr and xml, and for domains over them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace outboxx {

// What the text of some types depends on, beside the pinned settings.
struct BinaryTextFacts {
  int server_version = 0;        // 150020 for 15.20
  std::string_view time_zone{};  // of the session, as SHOW TimeZone says it
};

// A type whose text can be made here; a row of the table in binary_text.cc.
struct BinaryType;

// Lives as long as the process. nullptr if the server must make the text: the type is not in the table (arrays, enums, domains,
// composites, extensions' types, money, xml, ...), or its text depends on facts in a way that is not known here (timestamptz
// outside of UTC).
[[nodiscard]] const BinaryType* find_binary_type(std::uint32_t type_oid, const BinaryTextFacts& facts);

[[nodiscard]] inline bool has_binary_text(std::uint32_t type_oid, const BinaryTextFacts& facts) {
  return find_binary_type(type_oid, facts) != nullptr;
}

// The text is a view into bytes where it stands there already (text types, json), and into scratch otherwise, whose contents
// are replaced and whose memory is reused: valid as long as bytes are, and until scratch is changed. Malformed bytes are a
// kProtocol error that names the type and the length. bytes point somewhere, even if there are none. The text of well-formed
// bytes has at most 150,000 characters, or twice the length of bytes and two (bytea).
[[nodiscard]] Result<std::string_view> text_of(const BinaryType& type, std::string_view bytes, std::string& scratch);

}  // namespace outboxx
