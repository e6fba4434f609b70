#include "http_jobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "format/json_writer.h"
#include "model/snapshot_job_json.h"
#include "snapshot_mailbox.h"

namespace outboxx {
namespace {

constexpr std::string_view kStart = "POST /snapshots";
constexpr std::string_view kActions[] = {"pause", "resume", "cancel"};
constexpr SnapshotCommand::Kind kKinds[] = {SnapshotCommand::Kind::kPause, SnapshotCommand::Kind::kResume,
                                            SnapshotCommand::Kind::kCancel};

std::string_view reason_phrase(int status) {
  switch (status) {
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    default:
      return "Service Unavailable";
  }
}

std::unexpected<std::string> refuse(int status, std::string message) {
  return std::unexpected(job_answer({.status = status, .job = 0, .message = std::move(message)}));
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char character) { return static_cast<char>(std::tolower(character)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

// The value of the first header of that name, which is in lower case.
std::string_view header(std::string_view head, std::string_view name) {
  while (true) {
    const std::size_t end = head.find("\r\n");
    if (end == std::string_view::npos) {
      return {};
    }
    head.remove_prefix(end + 2);
    const std::string_view line = head.substr(0, head.find("\r\n"));
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && lower(line.substr(0, colon)) == name) {
      return trimmed(line.substr(colon + 1));
    }
  }
}

template <typename Number>
std::optional<Number> to_number(std::string_view text) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

bool is_address_or_localhost(std::string_view host) {
  if (host.starts_with('[')) {
    return true;
  }
  const std::string name = lower(host.substr(0, host.find(':')));
  return name == "localhost" || std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace

bool is_job_request(std::string_view head) {
  return head.starts_with(kStart) && head.size() > kStart.size() && (head[kStart.size()] == ' ' || head[kStart.size()] == '/');
}

std::expected<JobRequestHead, std::string> parse_job_head(std::string_view head, bool is_local_client) {
  const std::size_t path_begin = kStart.find('/');
  const std::string_view rest = head.substr(path_begin);
  JobRequestHead parsed{.path = std::string(rest.substr(0, rest.find(' '))),
                        .content_type = lower(header(head, "content-type")),
                        .host = std::string(header(head, "host")),
                        .content_length = 0};
  if (!is_local_client || !is_address_or_localhost(parsed.host)) {
    return refuse(403,
                  "snapshots are asked for from the machine that Outboxx runs on, at a loopback address: observability.address "
                  "has to be one, or 0.0.0.0");
  }
  const std::string_view length = header(head, "content-length");
  const auto bytes = to_number<std::size_t>(length.empty() ? "0" : length);
  if (!bytes || !header(head, "transfer-encoding").empty()) {
    return refuse(400, "the request has no length that can be understood");
  }
  if (*bytes > kJobRequestBytesMax) {
    return refuse(413, "the request is too large");
  }
  parsed.content_length = *bytes;
  if (!parsed.content_type.starts_with("application/json")) {
    return refuse(415, "the content type has to be application/json");
  }
  return parsed;
}

std::expected<SnapshotCommand, std::string> parse_job_body(const JobRequestHead& head, std::string_view body) {
  if (head.path == "/snapshots") {
    auto request = parse_job_request(body);
    if (!request) {
      return refuse(400, request.error().message);
    }
    return SnapshotCommand{.kind = SnapshotCommand::Kind::kAdd,
                           .job = 0,
                           .tables = std::move(request->tables),
                           .where = std::move(request->where)};
  }
  const std::string_view rest =
      std::string_view(head.path).substr(std::min(head.path.size(), std::string_view("/snapshots/").size()));
  const std::size_t slash = rest.find('/');
  const auto job = to_number<std::uint64_t>(rest.substr(0, slash));
  const auto* const action =
      slash == std::string_view::npos ? std::end(kActions) : std::ranges::find(kActions, rest.substr(slash + 1));
  if (!job || action == std::end(kActions)) {
    return refuse(404, "there is no such thing; jobs have pause, resume and cancel");
  }
  return SnapshotCommand{.kind = kKinds[action - std::begin(kActions)], .job = *job};
}

std::string job_answer(const SnapshotAnswer& answer) {
  std::string body = "{";
  if (answer.status == SnapshotAnswer::kAccepted) {
    body.append("\"id\":").append(std::to_string(answer.job));
  } else {
    body.append("\"error\":");
    append_json_string(body, answer.message);
  }
  body.append("}\n");
  return fmt::format("HTTP/1.1 {} {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                     answer.status, reason_phrase(answer.status), body.size(), body);
}

}  // namespace outboxx
