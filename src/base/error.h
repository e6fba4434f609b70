// Errors are values: Result<T> holds a T or an Error with a message, a hint and the exit code of its kind.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace outboxx {

// What went wrong, as far as callers and operators act differently on it. The value is the exit code of the process
// (docs/exit-codes.md); 1 and 2 stay free for shells and wrappers, 128+N for signals.
enum class ErrorCode : std::uint8_t {
  kInterrupted = 0,             // the operator asked to stop while we waited
  kUsage = 64,                  // the command line
  kConfig = 65,                 // the configuration file, or what it names (an environment variable)
  kPostgresMisconfigured = 66,  // the server answers, and refuses or lacks what we need; a restart does not help
  kPostgresUnreachable = 69,    // no connection, or it was lost; a restart may help
  kInternal = 70,               // a bug of ours
  kKafkaUnreachable = 71,       // no broker answers; a restart may help
  kSlot = 72,                   // the replication slot is missing although we streamed from it, or of another kind
  kKafkaRefused = 73,           // a broker answers, and refuses: credentials, authorisation, topic, message size
  kOutput = 74,                 // standard output was closed or cannot be written
  kFenced = 75,                 // another process took over this pipeline's Kafka transactions
  kProtocol = 76,               // PostgreSQL sent something we cannot decode
  kSlotLost = 77,               // the server invalidated the slot
  kSlotMoved = 78,              // the slot has confirmed more than we did: created again, or used by another client
  kSlotUnknown = 79,            // there is a slot, and nothing says how far we came with it
  kServerChanged = 80,          // another server, a restored one, or one that was left behind by a failover
  kPublicationChanged = 81,     // the publication was dropped and created again
  kState = 82,                  // the state record cannot be read or written
};

// A server that cannot be reached may be back: the same step is worth another attempt. All else is the operator's to mend.
[[nodiscard]] constexpr bool passes_by_itself(ErrorCode code) {
  return code == ErrorCode::kPostgresUnreachable || code == ErrorCode::kKafkaUnreachable;
}

// message: one line in PostgreSQL's style, lower case, no full stop. hint: full sentences with the way out, or empty.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message{};
  std::string hint{};
  std::string sqlstate{};  // PostgreSQL's error code, if a server reported the error and somebody acts on it
};

template <typename T = void>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint = {}) {
  return std::unexpected(Error{.code = code, .message = std::move(message), .hint = std::move(hint), .sqlstate = {}});
}

// Puts what was being done in front of an error: "could not start replication on slot \"orders\": <message>".
[[nodiscard]] inline std::unexpected<Error> fail_with_context(std::string_view context, Error error) {
  error.message.insert(0, ": ").insert(0, context);
  return std::unexpected(std::move(error));
}

}  // namespace outboxx

// The value of a Result expression, or an early return of its error. A statement expression, because std::expected has no
// monadic members in GCC 12 and the alternative is four lines per call.
#define TRY(...)                                              \
  __extension__({                                             \
    auto try_result_ = (__VA_ARGS__);                         \
    if (!try_result_) {                                       \
      return std::unexpected(std::move(try_result_).error()); \
    }                                                         \
    ::outboxx::detail::unwrap(std::move(try_result_));        \
  })

namespace outboxx::detail {

template <typename T>
T unwrap(std::expected<T, Error>&& result) {
  if constexpr (!std::is_void_v<T>) {
    return *std::move(result);
  }
}

}  // namespace outboxx::detail
