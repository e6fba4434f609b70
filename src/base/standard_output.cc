#include "base/standard_output.h"

#include <cstdio>
#include <string_view>

#include "base/error.h"

namespace outboxx {

Result<> print(std::string_view text) {
  const bool is_written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  return is_written ? Result<>() : fail(ErrorCode::kOutput, "could not write to standard output");
}

}  // namespace outboxx
