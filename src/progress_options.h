// ProgressOptions: when the position is recorded; [sink.kafka.transaction] in the configuration.
#pragma once

#include <chrono>
#include <cstdint>

namespace outboxx {

struct ProgressOptions {
  bool is_transactional = false;                                 // exactly once
  std::chrono::milliseconds interval{1000};                      // at least once: between two records
  std::uint64_t batch_bytes = std::uint64_t{5} * 1024 * 1024;    // exactly once: close when there are as many
  std::uint64_t batch_records = 10'000;                          // or as many
  std::chrono::milliseconds batch_age{200};                      // or after as long
  std::uint64_t split_bytes = std::uint64_t{256} * 1024 * 1024;  // one PostgreSQL transaction with more is split
  bool may_split = false;                                        // or refused
};

}  // namespace outboxx
