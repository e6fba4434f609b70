// PipelineOptions: the [pipeline] part of the configuration.
#pragma once

#include <chrono>

namespace outboxx {

struct PipelineOptions {
  // After SIGTERM: how long to wait for what was read to be delivered and confirmed.
  std::chrono::milliseconds drain_timeout{10'000};
  // A status update at least this often, whatever the sink does; a quarter of the server's wal_sender_timeout if that is less.
  std::chrono::milliseconds status_interval{10'000};
  // PostgreSQL is shutting down and waits for us while the sink is down: after this long the connection is closed.
  std::chrono::milliseconds shutdown_grace{10'000};
};

}  // namespace outboxx
