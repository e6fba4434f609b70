// Which librdkafka properties a configuration file may set, for [sink.kafka.properties].
#pragma once

#include <optional>
#include <string>

namespace outboxx {

// Why the property cannot be set, and what to use instead; nothing, if librdkafka may have it and takes it.
// Refused is what runs or loads code, what would break delivery or order, what switches off the broker's authentication, and
// what has a key of its own. The answer never quotes the value: it may be a secret.
[[nodiscard]] std::optional<std::string> refuse_property(const std::string& full_name, const std::string& value);

}  // namespace outboxx
