// SnapshotJobs as JSON: in the state record, in requests and for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/snapshot_job.h"

namespace outboxx {

// {"revision":17,"watches_tables":true,"queue":[{"id":17,"kind":"requested","tables":["public.t"],"where":"","paused":false,"tables_done":0,
//  "rows":2000,"leaf_done":0,"key_leaf":16402,"key":[["id","2000"]]}]}
[[nodiscard]] nlohmann::ordered_json to_json(const SnapshotJobs& jobs);
// Trusts nothing.
[[nodiscard]] std::optional<SnapshotJobs> to_jobs(const nlohmann::json& json);

// {"tables":["public.t"],"where":"region = 7"}, where may be left out. kUsage, with what is wrong.
struct JobRequest {
  static constexpr std::size_t kTablesMax = 1000;

  std::vector<std::string> tables;
  std::string where;
};
[[nodiscard]] Result<JobRequest> parse_job_request(std::string_view text);
[[nodiscard]] std::string to_text(const JobRequest& request);

// Of the instance's answers.
[[nodiscard]] std::uint64_t id_of_reply(const std::string& text);
[[nodiscard]] std::string error_of_reply(const std::string& text);
// A line for each job: id, state, rows, tables, why it failed.
[[nodiscard]] std::vector<std::string> lines_of_jobs(const std::string& text);

// For people, one object.
[[nodiscard]] nlohmann::ordered_json to_json(const SnapshotJob& job, std::string_view state, std::string_view reason);

}  // namespace outboxx
