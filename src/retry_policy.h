// RetryPolicy: which failures pass by themselves, and how long to wait at most before the next attempt. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/error.h"
#include "base/metrics.h"

namespace outboxx {

// When the session failed.
enum class Phase : std::uint8_t {
  kFirstStart,  // both servers have not been seen yet: a wrong configuration is likelier than an outage
  kConnecting,  // they have, some time
  kStreaming,
};

// Between the first two: a short one, since a server that just restarts is back within a second.
inline constexpr std::chrono::milliseconds kFirstRetryWait{200};
// For what costs the server work, or is not over in a moment.
inline constexpr std::chrono::milliseconds kLongestRetryWait{30'000};
// For a server that cannot be reached: asking costs nobody anything, and it has to be noticed soon that it is back.
inline constexpr std::chrono::milliseconds kLongestWaitForServer{3'000};

// A peer from which nothing came for so long is given up.
inline constexpr std::chrono::milliseconds kSilenceLimit{20'000};
inline constexpr std::chrono::milliseconds kLongestSilenceLimit{640'000};

struct Retry {
  ReconnectCause cause;
  std::chrono::milliseconds longest_wait;
};

// Nothing: the operator must act, or asked to stop; the process ends with the error's code. What is retried is retried for
// ever: the network, a restart or failover, a server without free connections, a broker that is down, a delivery that a new
// producer may mend. Never: the configuration, credentials and rights, the slot, the publication, a refused topic or record,
// bytes that cannot be decoded. wait: whether servers that cannot be reached are waited for in kFirstStart too.
[[nodiscard]] std::optional<Retry> retry_after(const Error& error, Phase phase, bool wait);

// The limit of the next session. A healthy server that decodes a large transaction of unpublished tables may say nothing for
// half of wal_sender_timeout. It begins anew with each session, so a limit that ended one would end them all: it doubles. A
// session that had moved forward before its peer fell silent is not of that kind.
[[nodiscard]] std::chrono::milliseconds next_silence_limit(std::chrono::milliseconds limit, bool was_silent,
                                                           bool moved_forward);

}  // namespace outboxx
