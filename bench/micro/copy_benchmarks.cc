// Benchmarks of binary COPY: the text of one value per type, and a row of the benchmark table (tests/golden/copy_binary), to
// values alone and on to JSON. Linked into micro_benchmarks.
#include <benchmark/benchmark.h>

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "fakes/recording.h"
#include "format/format.h"
#include "model/change.h"
#include "model/relation.h"
#include "postgres/binary_text.h"
#include "postgres/copy_binary.h"
#include "postgres/copy_testing.h"

namespace outboxx {
namespace {

constexpr std::size_t kValues = 1024;  // so many that no branch predictor learns them

void append_big_endian(std::string& bytes, std::uint64_t number, int size) {
  for (int shift = size * 8 - 8; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(number >> shift));
  }
}

using Random = std::mt19937_64;

std::string integer(Random& random) {
  std::string bytes;
  append_big_endian(bytes, random() >> random() % 64, 8);
  return bytes;
}

std::string float8(Random& random) {
  std::string bytes;
  append_big_endian(bytes, std::bit_cast<std::uint64_t>(static_cast<double>(random() % 100'000'000) / 1000), 8);
  return bytes;
}

// Within 30 years of 2010.
std::string timestamp(Random& random) {
  constexpr std::uint64_t kRangeUs = 30ULL * 365 * 86'400'000'000;
  std::string bytes;
  append_big_endian(bytes, random() % kRangeUs, 8);
  return bytes;
}

std::string date(Random& random) {
  std::string bytes;
  append_big_endian(bytes, random() % 10'000, 4);
  return bytes;
}

// numeric(20,6) as the benchmark table has it: two groups before the point and two after it.
std::string numeric(Random& random) {
  std::string bytes;
  for (const std::uint64_t number : {std::uint64_t{4}, std::uint64_t{1}, std::uint64_t{0}, std::uint64_t{6}, random() % 99 + 1,
                                     random() % 10'000, random() % 10'000, random() % 99 * 100 + 100}) {
    append_big_endian(bytes, number, 2);
  }
  return bytes;
}

std::string uuid(Random& random) {
  std::string bytes;
  append_big_endian(bytes, random(), 8);
  append_big_endian(bytes, random(), 8);
  return bytes;
}

std::string text(Random& random) {
  return std::string(random() % 40, 'x');
}

void make_text(benchmark::State& state, std::uint32_t type_oid, std::string (*make)(Random&)) {
  const BinaryType* const type = find_binary_type(type_oid, {.server_version = 180000, .time_zone = "UTC"});
  Random random(1);
  std::vector<std::string> values;
  for (std::size_t index = 0; index < kValues; ++index) {
    values.push_back(make(random));
  }
  std::string scratch;
  std::size_t index = 0;
  for ([[maybe_unused]] auto _ : state) {
    const auto made = text_of(*type, values[index], scratch);
    CHECK(made);
    benchmark::DoNotOptimize(made->data());
    index = (index + 1) % kValues;
  }
}

const CopyCapture& benchmark_table() {
  static const CopyCapture kCapture =
      read_copy_capture(std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "copy_binary" / "benchmark.capture");
  CHECK(kCapture.messages.size() > 2);
  return kCapture;
}

// The last message is the trailer.
template <typename Use>
void decode_rows(benchmark::State& state, const Use& use) {
  const auto& messages = benchmark_table().messages;
  CopyDecoder decoder(benchmark_table().types());
  CHECK(decoder.decode(messages[0]));
  std::size_t index = 1;
  for ([[maybe_unused]] auto _ : state) {
    const auto row = decoder.decode(messages[index]);
    CHECK(row && *row);
    use(**row);
    index = index + 2 == messages.size() ? 1 : index + 1;
  }
}

void decode(benchmark::State& state) {
  decode_rows(state, [](Tuple row) { benchmark::DoNotOptimize(row.data()); });
}

void decode_and_serialize(benchmark::State& state) {
  const char* const names[] = {"id", "account_id", "numeric_field", "status", "payload", "created_at", "updated_at"};
  Relation relation{.oid = 1, .schema = "public", .name = "benchmark_records", .columns = {}, .version = 1};
  for (std::size_t column = 0; column < std::size(names); ++column) {
    relation.columns.push_back({.name = names[column], .type_oid = benchmark_table().type_oids[column]});
  }
  const Transaction transaction{.final_lsn = {}, .commit_time = WallTime(std::chrono::seconds(1'700'000'000)), .xid = 1};
  const auto format = make_format(benchmark_stream(FormatName::kOutboxxJson), {});
  Record record;
  decode_rows(state, [&](Tuple row) {
    Change change;
    change.operation = Operation::kInsert;
    change.relation = &relation;
    change.transaction = &transaction;
    change.new_row = row;
    CHECK(format->serialize(change, record));
    benchmark::DoNotOptimize(record.value.data());
  });
}

BENCHMARK_CAPTURE(make_text, int8, 20, integer);
BENCHMARK_CAPTURE(make_text, float8, 701, float8);
BENCHMARK_CAPTURE(make_text, numeric, 1700, numeric);
BENCHMARK_CAPTURE(make_text, text, 25, text);
BENCHMARK_CAPTURE(make_text, date, 1082, date);
BENCHMARK_CAPTURE(make_text, timestamp, 1114, timestamp);
BENCHMARK_CAPTURE(make_text, timestamptz, 1184, timestamp);
BENCHMARK_CAPTURE(make_text, uuid, 2950, uuid);
BENCHMARK(decode)->Name("copy_decode/benchmark");
BENCHMARK(decode_and_serialize)->Name("copy_decode_and_serialize/outboxx_json/benchmark");

}  // namespace
}  // namespace outboxx
