// Connection: the line between the session and the simulated walsender, with delays, bounded buffers and faults.
#pragma once

#include <deque>
#include <variant>

#include "postgres/replication_stream.h"
#include "simulation/checker.h"
#include "simulation/crash.h"
#include "simulation/random.h"
#include "simulation/walsender.h"

namespace outboxx::simulation {

class Connection final : public ReplicationStream {
 public:
  struct Options {
    Duration delay_max{};            // each way
    std::size_t messages_max = 100;  // on the way to the client: the buffers of both sockets
    std::uint64_t low_water_percent = 0;
  };

  Connection(Walsender walsender, Checker& checker, CrashPoint& crash, const Options& options, Random& random, TimePoint now);

  // The client's side.
  [[nodiscard]] StreamWait prepare_wait(TimePoint now, bool reading) override;
  [[nodiscard]] Result<StreamMessage> receive() override;
  [[nodiscard]] Result<> send_status(const StandbyStatus& status) override;
  [[nodiscard]] Result<> end() override;
  // When poll(2) would report it.
  [[nodiscard]] TimePoint readable_at() const;

  // The world's side.
  void advance(TimePoint now);
  [[nodiscard]] TimePoint next_event() const;
  Walsender& walsender() { return walsender_; }
  // The client is gone. What it sent before may arrive.
  void close_client(TimePoint now);
  // The server or the network ended it. reset: what was on the way to the client is gone.
  void cut(TimePoint now, bool reset);
  // Nothing passes in either direction until then.
  void freeze(TimePoint until);
  [[nodiscard]] bool slot_is_released() const { return server_is_gone_; }
  [[nodiscard]] bool server_confirmed_stop() const { return stream_end_received_; }

 private:
  struct Incoming {
    TimePoint at;
    ServerMessage message;
  };
  struct CopyDone {};
  struct Outgoing {
    TimePoint at;
    std::variant<StandbyStatus, CopyDone> content;
  };

  void send(std::variant<StandbyStatus, CopyDone> content);
  void pull(TimePoint now);
  void server_goes(TimePoint now);
  [[nodiscard]] bool can_send() const {
    return !server_is_gone_ && !client_is_gone_ && incoming_.size() < options_.messages_max;
  }
  [[nodiscard]] bool is_lost() const { return server_is_gone_ && incoming_.empty() && now_ >= lost_at_; }
  [[nodiscard]] StreamMessage deliver(const ServerMessage& message);

  Walsender walsender_;
  Checker& checker_;
  CrashPoint& crash_;
  Options options_;
  Random& random_;
  TimePoint now_;
  std::deque<Incoming> incoming_;
  std::deque<Outgoing> outgoing_;
  TimePoint last_incoming_;
  TimePoint last_outgoing_;
  TimePoint gone_at_ = TimePoint::max();  // when the server notices that the client is gone
  TimePoint lost_at_;                     // when the client can notice that the server is gone
  std::string current_;                   // what the view of the last message points into
  bool mark_is_raised_ = false;
  bool client_is_gone_ = false;
  bool server_is_gone_ = false;
  bool stream_end_received_ = false;
};

}  // namespace outboxx::simulation
