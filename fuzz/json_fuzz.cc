#include <cstddef>
#include <cstdint>
#include <string_view>

#include "json_target.h"

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  outboxx::fuzz::json_target(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
