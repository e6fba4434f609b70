// Counts the allocations of the calling thread. Linking count.cc replaces malloc and operator new of the whole program.
#pragma once

#include <cstdint>

namespace outboxx {

struct Allocations {
  std::uint64_t from_libc = 0;        // malloc, calloc, realloc and their kin; what operator new takes is among them
  std::uint64_t by_operator_new = 0;  // of C++ code: not librdkafka's, not libpq's
};

// Of this thread since it began.
[[nodiscard]] Allocations allocations() noexcept;

}  // namespace outboxx
