#include "base/metrics.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace outboxx {
namespace {

std::vector<std::uint64_t> buckets(const LatencyHistogram& histogram) {
  std::vector<std::uint64_t> counts;
  for (std::size_t index = 0; index <= LatencyHistogram::kBoundsUs.size(); ++index) {
    counts.push_back(histogram.bucket(index));
  }
  return counts;
}

TEST(Counter, AddsUp) {
  Counter counter;
  counter.add();
  counter.add(41);
  EXPECT_EQ(counter.value(), 42U);
}

TEST(Gauge, HoldsTheLastValue) {
  Gauge gauge(-1);
  EXPECT_EQ(gauge.value(), -1);
  gauge.set(7);
  EXPECT_EQ(gauge.value(), 7);
  EXPECT_EQ(Gauge().value(), 0);
}

TEST(LatencyHistogram, BoundsBelongToTheirBucket) {
  LatencyHistogram histogram;
  for (const std::int64_t microseconds : {0, 500, 501, 1'000, 600'000'000, 600'000'001}) {
    histogram.observe(microseconds);
  }
  EXPECT_EQ(buckets(histogram), (std::vector<std::uint64_t>{2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(histogram.sum_us(), 1'200'002'002U);
}

}  // namespace
}  // namespace outboxx
