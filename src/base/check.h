// CHECK: an assertion about our own code that stays on in release builds. For the world's faults there is Result.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace outboxx::detail {

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "outboxx: internal error: %s at %s:%d\n", condition, file, line);
  std::_Exit(70);  // ErrorCode::kInternal; no destructors: nothing may be confirmed after a broken invariant
}

}  // namespace outboxx::detail

#define CHECK(condition)                                                    \
  do {                                                                      \
    if (!(condition)) [[unlikely]] {                                        \
      ::outboxx::detail::check_failed(#condition, __FILE_NAME__, __LINE__); \
    }                                                                       \
  } while (false)
