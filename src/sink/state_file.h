// The state record as a file, for the stdout sink.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace outboxx {

// Nothing if there is none. Of a file that is larger than any record not all, but too much for decode_state_record(). kState.
[[nodiscard]] Result<std::optional<std::string>> read_state_file(const std::string& path);

// Whole or not at all, and on the disk when it returns: a temporary file beside it, fsync, rename. kState.
[[nodiscard]] Result<> write_state_file(const std::string& path, std::string_view text);

}  // namespace outboxx
