#include "snapshots_json.h"

#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/lsn.h"
#include "base/snapshot_progress.h"
#include "base/time.h"
#include "model/snapshot_job_json.h"
#include "snapshot_mailbox.h"
#include "snapshot_summary.h"

namespace outboxx {
namespace {

using Json = nlohmann::ordered_json;  // members in the order in which people read them

Json rfc3339(WallTime time) {
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, sizeof "2026-11-24T03:04:05Z"> text{};
  std::strftime(text.data(), text.size(), "%FT%TZ", &parts);
  return text.data();
}

Json known(std::int64_t count) {
  return count >= 0 ? Json(count) : Json();
}

Json to_json(const SnapshotTableProgress& table) {
  return {{"table", table.name},
          {"state", name_of(state_of(table))},
          {"rows", table.rows.value()},
          {"bytes", table.bytes.value()},
          {"blocks_done", table.blocks_done.value()},
          {"blocks", table.blocks_total.value()},
          {"estimated_rows", known(table.estimated_rows.value())}};
}

Json totals(const SnapshotSummary& summary) {
  return {{"tables", summary.tables},
          {"tables_done", summary.tables_done},
          {"rows", summary.rows},
          {"bytes", summary.bytes},
          {"blocks_done", summary.blocks_done},
          {"blocks", summary.blocks},
          {"estimated_rows", known(summary.estimated_rows)}};
}

}  // namespace

std::string snapshots_json(const SnapshotProgress& progress, std::span<const JobView> jobs, WallTime now) {
  const SnapshotSummary summary = summarize(progress, now);
  const bool is_known = summary.state != SnapshotRunState::kNone;
  Json tables = Json::array();
  for (const SnapshotTableProgress* table = progress.first(); table != nullptr; table = next(*table)) {
    if (table->run.value() == progress.run.value()) {
      tables.push_back(to_json(*table));
    }
  }
  Json job_list = Json::array();
  for (const JobView& job : jobs) {
    job_list.push_back(to_json(job.job, job.state, job.reason));
  }
  const Json json = {{"state", name_of(summary.state)},
                     {"started", is_known ? rfc3339(summary.started) : Json()},
                     {"point", is_known ? Json(to_string(summary.point)) : Json()},
                     {"seconds", std::chrono::floor<std::chrono::seconds>(summary.elapsed).count()},
                     {"percent", std::floor(summary.percent * 10) / 10},
                     {"eta_seconds", summary.eta_seconds ? Json(*summary.eta_seconds) : Json()},
                     {"totals", totals(summary)},
                     {"tables", std::move(tables)},
                     {"jobs", std::move(job_list)}};
  // A name of an SQL_ASCII database need not be UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace outboxx
