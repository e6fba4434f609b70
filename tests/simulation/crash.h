// CrashPoint: SIGKILL between two effects of the program. Everything of ours is dropped there.
#pragma once

#include <cstdint>

namespace outboxx::simulation {

struct Crash {};

class CrashPoint {
 public:
  // Before the effect with this number from now on.
  void arm(std::uint64_t effects) {
    armed_ = true;
    left_ = effects;
  }
  void disarm() { armed_ = false; }
  [[nodiscard]] bool armed() const { return armed_; }
  // The fakes call it before and after all that the world can see.
  void pass() {
    if (armed_ && left_-- == 0) {
      armed_ = false;
      throw Crash{};
    }
  }

 private:
  bool armed_ = false;
  std::uint64_t left_ = 0;
};

}  // namespace outboxx::simulation
