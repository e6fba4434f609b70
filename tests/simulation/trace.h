// Trace: what happened in a run, in order, as a hash. Two runs of one seed must give the same one.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>

#include "base/time.h"

namespace outboxx::simulation {

class Trace {
 public:
  explicit Trace(bool prints) : prints_(prints) {}

  void set_time(TimePoint now) { now_ = now; }
  void note(const char* what, std::uint64_t first = 0, std::uint64_t second = 0) {
    const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(now_.time_since_epoch()).count();
    for (const char* letter = what; *letter != '\0'; ++letter) {
      mix(static_cast<unsigned char>(*letter));
    }
    mix(static_cast<std::uint64_t>(microseconds));
    mix(first);
    mix(second);
    if (prints_) {
      std::printf("%12.6f %-14s %llX %llX\n", static_cast<double>(microseconds) / 1e6, what,
                  static_cast<unsigned long long>(first), static_cast<unsigned long long>(second));
    }
  }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }

 private:
  void mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 1099511628211U + 1; }

  bool prints_;
  TimePoint now_;
  std::uint64_t hash_ = 14695981039346656037U;
};

}  // namespace outboxx::simulation
