#include "allocations/count.h"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <new>

// glibc's own names for what is replaced here.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

namespace outboxx {
namespace {

constinit thread_local Allocations count;

}  // namespace

Allocations allocations() noexcept {
  return count;
}

}  // namespace outboxx

using outboxx::count;

extern "C" {

void* malloc(std::size_t size) {
  ++count.from_libc;
  return __libc_malloc(size);
}

void* calloc(std::size_t number, std::size_t size) {
  ++count.from_libc;
  return __libc_calloc(number, size);
}

void* realloc(void* memory, std::size_t size) {
  ++count.from_libc;
  return __libc_realloc(memory, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  ++count.from_libc;
  return __libc_memalign(alignment, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  return aligned_alloc(alignment, size);
}

int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  *memory = aligned_alloc(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}

}  // extern "C"

void* operator new(std::size_t size) {
  ++count.by_operator_new;
  void* const memory = malloc(size);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

void* operator new(std::size_t size, std::align_val_t alignment) {
  ++count.by_operator_new;
  void* const memory = aligned_alloc(static_cast<std::size_t>(alignment), size);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  return memory;
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}

void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
