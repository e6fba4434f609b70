// ReplicationStream: the replication protocol's messages, without a word of what is in them.
// Protocol: PostgreSQL documentation 55.4, "Streaming Replication Protocol", START_REPLICATION.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"

namespace outboxx {

// XLogData ('w'). data is valid until the next receive().
struct WalData {
  Lsn start;  // 0/0 for Relation, Type and Origin; steps back between transactions
  Lsn wal_end;
  std::string_view data;
};

// Primary keepalive ('k').
struct Keepalive {
  Lsn wal_end;  // every transaction that commits before it was sent before it
  bool reply_requested = false;
};

struct NothingYet {};   // wait for poll(2)
struct StreamEnded {};  // the server's answer to end(): it has processed every status sent before

using StreamMessage = std::variant<NothingYet, WalData, Keepalive, StreamEnded>;

// Standby status update ('r').
struct StandbyStatus {
  Lsn write;
  Lsn flush;
  Lsn apply;
  bool request_reply = false;
};

// What the loop has to wait for.
struct StreamWait {
  int fd = -1;
  short events = 0;
  // Not zero: bytes may be there that poll(2) does not announce (raised low-water mark); call receive() after it at the latest.
  std::chrono::milliseconds bound{0};
  // The same while records are under way to the sink; not less than bound.
  std::chrono::milliseconds delivery_bound{0};
};

class ReplicationStream {
 public:
  virtual ~ReplicationStream() = default;

  // Call before each wait. reading false (back-pressure): incoming data is not waited for and the low-water mark is 1.
  [[nodiscard]] virtual StreamWait prepare_wait(TimePoint now, bool reading) = 0;

  // The next buffered message, reading the socket once if there is none. Never blocks. Errors: kPostgresUnreachable with
  // SQLSTATE and text of the server, kProtocol for bytes that are no replication message.
  [[nodiscard]] virtual Result<StreamMessage> receive() = 0;

  // Never blocks: what the socket does not take is sent by the following calls and waits for POLLOUT.
  [[nodiscard]] virtual Result<> send_status(const StandbyStatus& status) = 0;

  // Sends CopyDone; receive() brings StreamEnded when the server has answered.
  [[nodiscard]] virtual Result<> end() = 0;
};

}  // namespace outboxx
