// LibpqStream: the replication protocol over libpq, in the state COPY BOTH.
//
// For the loop above: it never sleeps; poll(2) reports POLLHUP and POLLERR although nothing was asked for, so a loop that does
// not read must end the session once it has seen one, or it spins.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "postgres/connection.h"
#include "postgres/receive_pacer.h"
#include "postgres/replication_stream.h"

namespace outboxx {

struct StreamOptions {
  std::string slot_name;
  std::string publication_name;
  std::chrono::milliseconds start_timeout{30'000};
};

class LibpqStream final : public ReplicationStream {
 public:
  // Starts streaming at the slot's confirmed_flush, over a connection of ConnectionMode::kReplication. On failure the
  // connection is gone. kSlot: the slot does not exist or is of another kind. kSlotLost. kPostgresUnreachable with SQLSTATE
  // 55006: another process uses the slot, which may pass.
  [[nodiscard]] static Result<std::unique_ptr<LibpqStream>> start(Connection&& connection, const StreamOptions& options,
                                                                  StopSignal stop);

  // While the low-water mark is raised the bound covers all that poll(2) then keeps back, also the rest of a message of which
  // a part was read.
  [[nodiscard]] StreamWait prepare_wait(TimePoint now, bool reading) override;

  // Beyond the base: kSlotLost when the server lost WAL or the slot, kPostgresMisconfigured when the publication does not exist
  // or was skipped. After an error or StreamEnded the stream is of no more use.
  [[nodiscard]] Result<StreamMessage> receive() override;
  [[nodiscard]] Result<> send_status(const StandbyStatus& status) override;
  [[nodiscard]] Result<> end() override;

 private:
  LibpqStream(Connection connection, const StreamOptions& options);

  [[nodiscard]] Result<StreamMessage> receive_end();
  [[nodiscard]] std::unexpected<Error> failed(Error error) const;
  [[nodiscard]] bool tls_holds_bytes() const;
  void set_low_water_mark(bool raised);

  Connection connection_;
  std::string slot_name_;
  std::string publication_name_;
  std::unique_ptr<char, void (*)(void*)> frame_;  // of the last message; libpq's
  void* tls_;                                     // OpenSSL's SSL, null without TLS
  bool is_tcp_;
  bool mark_is_raised_ = false;
  bool may_hold_messages_ = true;  // in libpq's buffer, where poll(2) does not see them
  bool end_sent_ = false;
  bool copy_ended_ = false;
  ReceivePacer pacer_;
};

// One CopyData message of the server. data of WalData points into frame. kProtocol: not a replication message.
[[nodiscard]] Result<StreamMessage> parse_stream_message(std::string_view frame);

// 'r', write, flush, apply, clock, reply request; integers of 8 bytes in network order.
using StatusFrame = std::array<char, 34>;
[[nodiscard]] StatusFrame encode_status(const StandbyStatus& status, WallTime now);

}  // namespace outboxx
