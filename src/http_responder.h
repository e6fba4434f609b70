// HttpResponder: the whole answer, status line to body, to one request line.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/metrics.h"
#include "metrics_text.h"
#include "snapshot_mailbox.h"

namespace outboxx {

class HttpResponder {
 public:
  // metrics and mailbox outlive the responder.
  HttpResponder(const Metrics& metrics, const SnapshotMailbox& mailbox, BuildInfo build);
  ~HttpResponder();
  HttpResponder(const HttpResponder&) = delete;
  HttpResponder& operator=(const HttpResponder&) = delete;

  // request_line: "GET /metrics HTTP/1.1", without its end. Empty if there is no answer to give. One thread.
  [[nodiscard]] std::string respond(std::string_view request_line);

 private:
  struct Impl;

  std::unique_ptr<Impl> impl_;
};

}  // namespace outboxx
