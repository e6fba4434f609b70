// One request to the HTTP endpoint of an instance that runs on this machine.
#pragma once

#include <string>

#include "base/error.h"
#include "http_options.h"

namespace outboxx {

struct HttpReply {
  int status = 0;
  std::string body;
};

// body is JSON; a GET if it is empty. Waits, within bounds. kConfig: nobody listens there.
[[nodiscard]] Result<HttpReply> ask_instance(const HttpOptions& options, const std::string& path, const std::string& body);

}  // namespace outboxx
