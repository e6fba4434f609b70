#include "snapshot_command.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/log_line.h"
#include "base/standard_output.h"
#include "config.h"
#include "http_client.h"
#include "model/snapshot_job_json.h"

namespace outboxx {
namespace {

constexpr int kOk = 200;
constexpr int kAccepted = 202;
constexpr int kUnavailable = 503;

Result<std::string> ask(const Config& config, const std::string& path, const std::string& body) {
  if (!config.observability) {
    return fail(ErrorCode::kConfig, "the configuration has no [observability]: the instance has no HTTP endpoint to ask",
                "Add the section, and start \"outboxx run\" again.");
  }
  const HttpReply reply = TRY(ask_instance(*config.observability, path, body));
  if (reply.status == kOk || reply.status == kAccepted) {
    return reply.body;
  }
  const std::string reason = error_of_reply(reply.body);
  return fail(reply.status == kUnavailable ? ErrorCode::kPostgresUnreachable : ErrorCode::kUsage,
              reason.empty() ? "the instance answered with status " + std::to_string(reply.status) : reason);
}

}  // namespace

Result<> request_snapshot(const Config& config, const std::vector<std::string>& tables, const std::string& where) {
  const std::string answer = TRY(ask(config, "/snapshots", to_text(JobRequest{.tables = tables, .where = where})));
  return print("queued snapshot job " + std::to_string(id_of_reply(answer)) + "\n");
}

Result<> list_snapshots(const Config& config) {
  std::string text;
  for (const std::string& line : lines_of_jobs(TRY(ask(config, "/snapshots", "")))) {
    text.append(log::printable(line)).append("\n");
  }
  return print(text.empty() ? "no snapshot jobs\n" : text);
}

Result<> change_snapshot(const Config& config, std::string_view action, std::uint64_t id) {
  TRY(ask(config, "/snapshots/" + std::to_string(id) + "/" + std::string(action), "{}"));
  return print("snapshot job " + std::to_string(id) + ": " + std::string(action) + "\n");
}

}  // namespace outboxx
