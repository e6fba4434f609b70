// HttpOptions: the [observability] part of the configuration.
#pragma once

#include <cstdint>
#include <string>

namespace outboxx {

struct HttpOptions {
  std::string address = "127.0.0.1";  // an IP address
  std::uint16_t port = 9464;
};

}  // namespace outboxx
