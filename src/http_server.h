// HttpServer: /metrics, /healthz, /readyz and /snapshots, on a thread of its own that only reads Metrics.
//
// /healthz is about the loop: 503 if it has not turned for 90 s. /readyz is 200 while changes can flow: PostgreSQL streams and
// the sink answers. Clients can neither slow the pipeline nor each other: one thread serves all of them without blocking, a
// connection has 5 s and 8 KiB for its request and 5 s for the answer, and the 65th connection ends the oldest.
#pragma once

#include <cstdint>
#include <memory>

#include "base/error.h"
#include "base/metrics.h"
#include "http_options.h"
#include "metrics_text.h"
#include "snapshot_mailbox.h"

namespace outboxx {

class HttpServer {
 public:
  // Binds and starts to serve. metrics and mailbox outlive the server. kConfig if the address cannot be bound.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> start(const HttpOptions& options, const Metrics& metrics,
                                                                 SnapshotMailbox& mailbox, const BuildInfo& build);

  // Stops serving and joins the thread.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // The port it listens on: that of the options, or what the system chose for port 0.
  [[nodiscard]] std::uint16_t port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace outboxx
