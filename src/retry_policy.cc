#include "retry_policy.h"

#include <algorithm>
#include <string_view>

namespace outboxx {
namespace {

// What PostgreSQL said, if it said anything. SQLSTATEs: PostgreSQL documentation, appendix A.
ReconnectCause postgres_cause(std::string_view sqlstate, Phase phase) {
  if (sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P03") {  // shutdown, crash of a process, starting up
    return ReconnectCause::kPostgresRestart;
  }
  if (sqlstate.starts_with("53")) {  // too many connections, disk full, out of memory
    return ReconnectCause::kPostgresResources;
  }
  if (sqlstate == "55006") {  // object in use
    return ReconnectCause::kPostgresSlotInUse;
  }
  if (!sqlstate.empty() && !sqlstate.starts_with("08")) {
    return ReconnectCause::kPostgresError;
  }
  return phase == Phase::kStreaming ? ReconnectCause::kPostgresLost : ReconnectCause::kPostgresUnreachable;
}

std::chrono::milliseconds longest_wait(ReconnectCause cause) {
  switch (cause) {
    case ReconnectCause::kPostgresSlotInUse:
      return kFirstRetryWait;  // the session has waited for the slot
    case ReconnectCause::kPostgresResources:
    case ReconnectCause::kPostgresError:
    case ReconnectCause::kKafkaDelivery:
      return kLongestRetryWait;
    case ReconnectCause::kPostgresUnreachable:
    case ReconnectCause::kPostgresLost:
    case ReconnectCause::kPostgresRestart:
    case ReconnectCause::kKafkaUnreachable:
      return kLongestWaitForServer;
  }
  return kLongestRetryWait;
}

}  // namespace

std::optional<Retry> retry_after(const Error& error, Phase phase, bool wait) {
  if (!passes_by_itself(error.code) || (phase == Phase::kFirstStart && !wait)) {
    return std::nullopt;
  }
  const ReconnectCause kafka = phase == Phase::kStreaming ? ReconnectCause::kKafkaDelivery : ReconnectCause::kKafkaUnreachable;
  const bool is_postgres = error.code == ErrorCode::kPostgresUnreachable;
  const ReconnectCause cause = is_postgres ? postgres_cause(error.sqlstate, phase) : kafka;
  return Retry{.cause = cause, .longest_wait = longest_wait(cause)};
}

std::chrono::milliseconds next_silence_limit(std::chrono::milliseconds limit, bool was_silent, bool moved_forward) {
  return was_silent && !moved_forward ? std::min(limit * 2, kLongestSilenceLimit) : kSilenceLimit;
}

}  // namespace outboxx
