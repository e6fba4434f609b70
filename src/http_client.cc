#include "http_client.h"

#include <httplib.h>

#include <chrono>
#include <string>

#include "base/error.h"
#include "http_options.h"

namespace outboxx {
namespace {

constexpr std::chrono::seconds kTimeout{5};

// What listens on all addresses is asked on the loopback one.
std::string address_of(const HttpOptions& options) {
  if (options.address == "0.0.0.0") {
    return "127.0.0.1";
  }
  return options.address == "::" ? "::1" : options.address;
}

}  // namespace

Result<HttpReply> ask_instance(const HttpOptions& options, const std::string& path, const std::string& body) {
  httplib::Client client(address_of(options), options.port);
  client.set_connection_timeout(kTimeout);
  client.set_read_timeout(kTimeout);
  client.set_write_timeout(kTimeout);
  const httplib::Result result = body.empty() ? client.Get(path) : client.Post(path, body, "application/json");
  if (!result) {
    return fail(ErrorCode::kPostgresUnreachable,
                "could not reach the instance at " + address_of(options) + ", port " + std::to_string(options.port) + ": " +
                    httplib::to_string(result.error()),
                "Start \"outboxx run\" with the same configuration, and look at \"address\" and \"port\" in [observability].");
  }
  return HttpReply{.status = result->status, .body = result->body};
}

}  // namespace outboxx
