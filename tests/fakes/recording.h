// Recording: one transaction that a real PostgreSQL sent, from tests/golden/pgoutput/benchmark, and what replays it needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/lsn.h"
#include "model/stream.h"
#include "postgres/pgoutput_testing.h"

namespace outboxx {

// The bytes of a CopyData message: 'w', start, end, clock, then pgoutput's message (PostgreSQL documentation 55.4).
inline constexpr std::size_t kWalDataHeaderSize = 1 + 3 * sizeof(std::uint64_t);

inline void put_u64(std::string& bytes, std::size_t offset, std::uint64_t value) {
  for (std::size_t index = 0; index < sizeof value; ++index) {
    bytes[offset + index] = static_cast<char>(value >> (56 - 8 * index) & 255);
  }
}

struct Recording {
  Lsn start;
  std::string begin;
  std::vector<std::string> descriptions;  // Type and Relation: sent once
  std::vector<std::string> rows;
  std::string commit;

  // Empty rows: no such file, or not one transaction.
  [[nodiscard]] static Recording load(const std::filesystem::path& path) {
    Recording recording;
    for (const pgoutput::CapturedMessage& message :
         pgoutput::read_capture(path).value_or(std::vector<pgoutput::CapturedMessage>{})) {
      std::string frame = "w" + std::string(kWalDataHeaderSize - 1, '\0') + message.data;
      put_u64(frame, 1, message.lsn.value);
      put_u64(frame, 9, message.lsn.value);
      switch (message.data.front()) {
        case 'B':
          recording.start = message.lsn;
          recording.begin = std::move(frame);
          break;
        case 'C':
          recording.commit = std::move(frame);
          break;
        case 'R':
        case 'Y':
          recording.descriptions.push_back(std::move(frame));
          break;
        default:
          recording.rows.push_back(std::move(frame));
      }
    }
    return recording;
  }

  [[nodiscard]] static std::string_view message_of(std::string_view frame) { return frame.substr(kWalDataHeaderSize); }
};

// One of tests/golden/pgoutput/benchmark.
[[nodiscard]] inline Recording load_recording(const std::string& name) {
  return Recording::load(std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "pgoutput" / "benchmark" / (name + ".capture"));
}

// What the benchmarks measure: files of tests/golden/pgoutput/benchmark, and how many of their rows make a transaction.
struct Scenario {
  const char* name;
  const char* recording;
  std::size_t rows_per_transaction;
};
inline constexpr Scenario kScenarios[] = {
    {"insert", "insert", 10'000},
    {"insert_single_row_transactions", "insert", 1},
    {"insert_wide", "insert_wide", 10'000},
    {"update_full", "update_full", 10'000},
    {"update_default", "update_default", 10'000},
    {"delete_full", "delete_full", 10'000},
    {"delete_default", "delete_default", 10'000},
};

// The stream of the recorded table.
[[nodiscard]] inline StreamConfig benchmark_stream(FormatName format) {
  StreamConfig stream;
  stream.name = "benchmark";
  stream.schema = "public";
  stream.table = "benchmark_records";
  stream.operations = {.insert = true, .update = true, .remove = true, .read = false};
  stream.format = format;
  stream.topic = "benchmark";
  stream.routing_key = "id";
  return stream;
}

}  // namespace outboxx
