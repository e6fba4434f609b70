#include "snapshot_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/snapshot_progress.h"
#include "base/time.h"
#include "snapshot_summary.h"

namespace outboxx {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kDrawInterval{200};
constexpr std::size_t kSamplesDrawn = 25;  // what the rates of a line are the mean of: five seconds
constexpr seconds kLogInterval{10};
constexpr std::size_t kBarMin = 10;
constexpr std::size_t kBarMax = 40;
constexpr std::string_view kGap = "  ";
constexpr double kMegabyte = 1e6;

// 1,234,567
std::string grouped(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string out;
  for (std::size_t at = 0; at < digits.size(); ++at) {
    if (at > 0 && (digits.size() - at) % 3 == 0) {
      out.push_back(',');
    }
    out.push_back(digits[at]);
  }
  return out;
}

// 9,876, 871k, 12M
std::string rounded(double number) {
  const auto whole = static_cast<std::uint64_t>(std::llround(number));
  if (whole < 10'000) {
    return grouped(whole);
  }
  return whole < 10'000'000 ? fmt::format("{}k", grouped(whole / 1'000)) : fmt::format("{}M", grouped(whole / 1'000'000));
}

std::string megabytes(double bytes) {
  return bytes < 100 * kMegabyte ? fmt::format("{:.1f}", bytes / kMegabyte) : fmt::format("{:.0f}", bytes / kMegabyte);
}

// 2:00, 1:02:03
std::string clock_time(std::int64_t count) {
  const std::int64_t hours = count / 3600;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, count / 60 % 60, count % 60)
                   : fmt::format("{}:{:02}", count / 60, count % 60);
}

std::string bar(double percent, std::size_t width) {
  const auto full = static_cast<std::size_t>(std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(width));
  return fmt::format("[{}{}]", std::string(full, '#'), std::string(width - full, '-'));
}

std::string join(std::span<const std::string> parts) {
  std::string out;
  for (const std::string& part : parts) {
    out.append(out.empty() || part.empty() ? "" : kGap).append(part);
  }
  return out;
}

}  // namespace

std::string progress_line(const SnapshotSummary& summary, const SnapshotRates& rates, std::size_t columns) {
  enum Part : std::uint8_t { kPercent, kBar, kRows, kRowRate, kByteRate, kEta, kTables };
  std::array<std::string, 7> parts;
  parts[kPercent] = fmt::format("snapshot {:5.1f}%", std::floor(summary.percent * 10) / 10);
  parts[kRows] = fmt::format("{} rows", grouped(summary.rows));
  parts[kRowRate] = fmt::format("{} rows/s", rounded(rates.rows));
  parts[kByteRate] = fmt::format("{} MB/s", megabytes(rates.bytes));
  parts[kEta] = fmt::format("ETA {}", summary.eta_seconds ? clock_time(*summary.eta_seconds) : "-:--");
  if (summary.tables > 1) {
    parts[kTables] = fmt::format("{}/{} tables", summary.tables_done, summary.tables);
  }
  parts[kBar] = bar(summary.percent, kBarMin);
  constexpr std::array kLeastImportantFirst = {kTables, kByteRate, kBar, kRows, kRowRate, kEta};
  for (const Part part : kLeastImportantFirst) {
    if (join(parts).size() <= columns) {
      break;
    }
    parts[part].clear();
  }
  const std::size_t used = join(parts).size();
  if (!parts[kBar].empty() && used < columns) {
    parts[kBar] = bar(summary.percent, std::min(kBarMin + columns - used, kBarMax));
  }
  return join(parts).substr(0, columns);
}

SnapshotReport::~SnapshotReport() {
  end();
}

void SnapshotReport::start(TimePoint now) {
  const SnapshotSummary summary = summarize(progress_, wall_now());
  samples_ = {{.at = now, .rows = summary.rows, .bytes = summary.bytes}};
  next_ = log::status_columns() > 0 ? now : now + kLogInterval;
}

void SnapshotReport::turn(TimePoint now) {
  if (now < next_) {
    return;
  }
  const SnapshotSummary summary = summarize(progress_, wall_now());
  const Sample sample{.at = now, .rows = summary.rows, .bytes = summary.bytes};
  const std::size_t columns = log::status_columns();
  if (columns > 0) {
    log::set_status(progress_line(summary, rates_since_oldest(sample, kSamplesDrawn), columns));
    next_ = now + kDrawInterval;
    return;
  }
  const SnapshotRates rates = rates_since_oldest(sample, 1);
  log::info("snapshot in progress",
            {{"percent", static_cast<int>(summary.percent)},
             {"rows", summary.rows},
             {"rows_per_second", std::llround(rates.rows)},
             {"bytes_per_second", std::llround(rates.bytes)},
             summary.eta_seconds ? log::Field("eta_seconds", *summary.eta_seconds) : log::Field("eta_seconds", "unknown"),
             {"tables_done", summary.tables_done},
             {"tables", summary.tables}});
  next_ = now + kLogInterval;
}

void SnapshotReport::end() {
  log::set_status("");
  next_ = TimePoint::max();
}

SnapshotRates SnapshotReport::rates_since_oldest(const Sample& sample, std::size_t samples_kept) {
  const Sample& oldest = samples_.front();
  // The first rows come in a moment, and the rate of that one is nobody's.
  const double time = std::max(duration<double>(sample.at - oldest.at), duration<double>(kDrawInterval)).count();
  const SnapshotRates rates{.rows = static_cast<double>(sample.rows - oldest.rows) / time,
                            .bytes = static_cast<double>(sample.bytes - oldest.bytes) / time};
  samples_.push_back(sample);
  while (samples_.size() > samples_kept) {
    samples_.pop_front();
  }
  return rates;
}

}  // namespace outboxx
