// HttpOptions: the [observability] part of the configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace outboxx {

struct HttpOptions {
  std::string address = "127.0.0.1";  // an IP address
  std::uint16_t port = 9464;
  std::chrono::milliseconds client_timeout{5'000};  // for a request to arrive, and for its answer to be taken; not configurable
};

}  // namespace outboxx
