// HttpServer: /metrics, /healthz and /readyz, on threads of its own that only read Metrics.
#pragma once

#include <memory>

#include "base/error.h"
#include "base/metrics.h"
#include "http_options.h"

namespace outboxx {

class HttpServer {
 public:
  // Binds and starts to serve. metrics outlives the server. kConfig if the address cannot be bound.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> start(const HttpOptions& options, const Metrics& metrics);

  // Stops serving and joins the threads.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace outboxx
