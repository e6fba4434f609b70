// scrub_secrets: hides passwords in text that is about to be shown. The last line of defence, not the first: libraries quote
// connection strings in their messages.
#pragma once

#include <string>
#include <string_view>

namespace outboxx {

// Replaces by *** the value after "password=", "passwd=" and "secret=" (any case, any prefix: "sasl.password="; blanks and
// quotes as connection strings, TOML and JSON have them), the password in "://user:password@", and a PEM private key. Rather
// too much than too little: an unquoted value ends only at white space.
[[nodiscard]] std::string scrub_secrets(std::string_view text);

// Whether a value under this name is a secret by its name alone.
[[nodiscard]] bool names_secret(std::string_view name);

}  // namespace outboxx
