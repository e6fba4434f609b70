// Standard output of the commands, which print a report and end.
#pragma once

#include <string_view>

#include "base/error.h"

namespace outboxx {

// Written through. kOutput: what reads it has not got all of it.
[[nodiscard]] Result<> print(std::string_view text);

}  // namespace outboxx
