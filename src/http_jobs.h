// What POST /snapshots and POST /snapshots/N/ACTION ask for, and their answers. Pure.
//
//   POST /snapshots  {"tables":["public.t"],"where":"SQL"}   -> 202 {"id":17}
//   POST /snapshots/17/pause | resume | cancel               -> 202 {"id":17}
//
// Only for clients on this machine, because they have SQL run. A page that a browser on this machine shows is none: it can send
// neither this content type without being asked for permission first, nor a host that is an address or "localhost".
#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

#include "snapshot_mailbox.h"

namespace outboxx {

inline constexpr std::size_t kJobRequestBytesMax = 65'536;

// The head of a POST to /snapshots, which has a body that is to be read too.
struct JobRequestHead {
  std::string path;
  std::string content_type{};
  std::string host{};
  std::size_t content_length = 0;
};

[[nodiscard]] bool is_job_request(std::string_view head);
// head: with its empty line. The whole answer if it is wrong.
[[nodiscard]] std::expected<JobRequestHead, std::string> parse_job_head(std::string_view head, bool is_local_client);
[[nodiscard]] std::expected<SnapshotCommand, std::string> parse_job_body(const JobRequestHead& head, std::string_view body);

[[nodiscard]] std::string job_answer(const SnapshotAnswer& answer);

}  // namespace outboxx
