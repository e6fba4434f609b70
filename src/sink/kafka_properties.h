// Which librdkafka properties a configuration file may set, for [sink.kafka.properties].
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace outboxx {

// Why the property cannot be set, and what to use instead; nothing, if librdkafka may have it (it checks the name itself).
// Refused is what runs or loads code, what would break delivery or order, what switches off the broker's authentication, and
// what has a key of its own. The answer never quotes the value: it may be a secret.
[[nodiscard]] std::optional<std::string> refuse_property(std::string_view name, std::string_view value);

}  // namespace outboxx
