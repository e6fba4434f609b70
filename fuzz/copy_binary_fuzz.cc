#include <cstddef>
#include <cstdint>
#include <string_view>

#include "copy_binary_target.h"

// The name is libFuzzer's.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  outboxx::fuzz::fuzz_copy_binary(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
