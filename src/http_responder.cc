#include "http_responder.h"

#include <httplib.h>

#include <chrono>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/time.h"
#include "process_usage.h"
#include "snapshots_json.h"

namespace outboxx {
namespace {

constexpr std::chrono::seconds kLoopStuckAfter{90};
constexpr const char* kPlainText = "text/plain; charset=utf-8";
constexpr const char* kJson = "application/json";

struct Answer {
  int status = 200;
  std::string body;
  const char* content_type = kPlainText;
};

Answer health(const Metrics& metrics, TimePoint now) {
  return loop_progress_age(metrics, now) > kLoopStuckAfter ? Answer{.status = 503, .body = "unavailable\n"}
                                                           : Answer{.body = "ok\n"};
}

Answer readiness(const Metrics& metrics) {
  const bool is_streaming = metrics.streaming.value() == 1;
  const bool is_reachable = metrics.sink_reachable.value() == 1;
  if (is_streaming && is_reachable) {
    return {.body = "ok\n"};
  }
  if (is_streaming) {
    return {.status = 503, .body = "the sink is not reachable\n"};
  }
  return {.status = 503,
          .body = is_reachable ? "PostgreSQL is not streaming\n" : "PostgreSQL is not streaming, the sink is not reachable\n"};
}

Answer all_metrics(const Metrics& metrics, const BuildInfo& build) {
  const ScrapeMoment moment{
      .now = Clock::now(), .wall_now = wall_now(), .log_lines_dropped = log::dropped_lines(), .process = read_process_usage()};
  return {.body = metrics_text(metrics, build, moment), .content_type = kMetricsContentType};
}

// A request in memory, and the response to it.
class MemoryStream final : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view input) : input_(input) {}

  [[nodiscard]] std::string take_output() { return std::move(output_); }

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* out, size_t size) override {
    const std::size_t count = input_.copy(out, size);
    input_.remove_prefix(count);
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* data, size_t size) override {
    output_.append(data, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  socket_t socket() const override { return -1; }

 private:
  std::string_view input_;
  std::string output_;
};

}  // namespace

// The library parses and writes HTTP; it does not listen. Its own threads would each be held by one slow client, its read
// timeout starts again with every byte, its sockets share their port (SO_REUSEPORT) with a second Outboxx, and the limits of
// its header file are fixed in the shared library.
struct HttpResponder::Impl : httplib::Server {
  const Metrics& metrics;
  const SnapshotMailbox& mailbox;
  BuildInfo build;

  Impl(const Metrics& metrics_to_show, const SnapshotMailbox& mailbox_to_show, BuildInfo build_to_show)
      : metrics(metrics_to_show), mailbox(mailbox_to_show), build(std::move(build_to_show)) {
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      answer(request, response);
      return HandlerResponse::Handled;
    });
    set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, const std::exception_ptr&) { response.status = 500; });
  }

  void answer(const httplib::Request& request, httplib::Response& response) const {
    Answer answer = route(request.path);
    if (answer.status != 404 && request.method != "GET") {
      answer = {.status = 405, .body = "method not allowed\n"};
      response.set_header("Allow", "GET");
    }
    response.status = answer.status;
    response.set_content(answer.body, answer.content_type);
  }

  Answer route(const std::string& path) const {
    if (path == "/metrics") {
      return all_metrics(metrics, build);
    }
    if (path == "/healthz") {
      return health(metrics, Clock::now());
    }
    if (path == "/readyz") {
      return readiness(metrics);
    }
    if (path == "/snapshots") {
      return {.body = snapshots_json(metrics.snapshot, mailbox.jobs(), wall_now()), .content_type = kJson};
    }
    return {.status = 404, .body = "not found\n"};
  }

  std::string respond(const std::string& head) {
    MemoryStream stream(head);
    bool is_closed = false;
    process_request(stream, true, is_closed, nullptr);
    return stream.take_output();
  }
};

HttpResponder::HttpResponder(const Metrics& metrics, const SnapshotMailbox& mailbox, BuildInfo build)
    : impl_(std::make_unique<Impl>(metrics, mailbox, std::move(build))) {}

HttpResponder::~HttpResponder() = default;

// The request's headers are left out: none matters to us, and the library would act on some (Range, Expect, Accept-Encoding).
std::string HttpResponder::respond(std::string_view request_line) {
  try {
    return impl_->respond(std::string(request_line) + "\r\n\r\n");
  } catch (const std::exception& exception) {
    log::warn("could not answer an HTTP request", {{"reason", exception.what()}});
    return {};
  }
}

}  // namespace outboxx
