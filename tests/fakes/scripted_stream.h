// ScriptedStream: a replication stream whose messages the test writes, and that keeps the status updates it gets.
#pragma once

#include <sys/eventfd.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/unique_fd.h"
#include "postgres/replication_stream.h"

namespace outboxx {

// Bytes of pgoutput messages (PostgreSQL documentation 55.9).
class PgoutputWriter {
 public:
  static std::string begin(std::uint64_t final_lsn, std::uint32_t xid = 7) { return "B" + u64(final_lsn) + u64(0) + u32(xid); }
  static std::string commit(std::uint64_t commit_lsn, std::uint64_t end_lsn) {
    return std::string("C") + '\0' + u64(commit_lsn) + u64(end_lsn) + u64(0);
  }
  // A table of text columns; the first is the key.
  static std::string relation(std::uint32_t oid, const std::string& name, const std::vector<std::string>& columns) {
    std::string bytes = "R" + u32(oid) + "public" + '\0' + name + '\0' + 'd' + u16(columns.size());
    for (std::size_t index = 0; index < columns.size(); ++index) {
      bytes += (index == 0 ? '\1' : '\0') + columns[index] + '\0' + u32(25) + u32(0xFFFFFFFF);
    }
    return bytes;
  }
  static std::string insert(std::uint32_t oid, const std::vector<std::string>& values) {
    return "I" + u32(oid) + "N" + tuple(values);
  }
  static std::string remove(std::uint32_t oid, const std::vector<std::string>& values) {
    return "D" + u32(oid) + "O" + tuple(values);
  }
  static std::string truncate(std::uint32_t oid) { return "T" + u32(1) + '\0' + u32(oid); }

 private:
  static std::string big_endian(std::uint64_t value, int bytes) {
    std::string out;
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
      out.push_back(static_cast<char>(value >> shift & 255));
    }
    return out;
  }
  static std::string u16(std::uint64_t value) { return big_endian(value, 2); }
  static std::string u32(std::uint64_t value) { return big_endian(value, 4); }
  static std::string u64(std::uint64_t value) { return big_endian(value, 8); }
  static std::string tuple(const std::vector<std::string>& values) {
    std::string bytes = u16(values.size());
    for (const std::string& value : values) {
      bytes += "t" + u32(value.size()) + value;
    }
    return bytes;
  }
};

class ScriptedStream final : public ReplicationStream {
 public:
  std::vector<StandbyStatus> statuses;
  bool ended = false;
  bool answers_copy_done = true;
  std::chrono::milliseconds bound{0};  // as of a raised low-water mark
  std::chrono::milliseconds delivery_bound{0};
  // Called when everything scripted was received and the pipeline is about to wait: the test's next step.
  std::function<void()> on_idle = [] {};

  void wal(std::uint64_t lsn, std::string data) {
    script_.emplace_back(Step{.kind = Kind::kWal, .lsn = Lsn{lsn}, .data = std::move(data)});
    wake();
  }
  void keepalive(std::uint64_t wal_end, bool reply_requested = false) {
    script_.emplace_back(Step{.kind = reply_requested ? Kind::kPing : Kind::kKeepalive, .lsn = Lsn{wal_end}});
    wake();
  }
  void lose_connection() {
    script_.emplace_back(Step{.kind = Kind::kLost});
    wake();
  }
  [[nodiscard]] std::size_t unread() const { return script_.size(); }

  StreamWait prepare_wait(TimePoint, bool reading) override {
    if (script_.empty() || !reading) {
      on_idle();
    }
    return {.fd = event_.get(),
            .events = static_cast<short>(reading ? 1 /* POLLIN */ : 0),
            .bound = bound,
            .delivery_bound = delivery_bound};
  }
  Result<StreamMessage> receive() override {
    if (script_.empty()) {
      eventfd_t count = 0;
      ::eventfd_read(event_.get(), &count);
      return ended && answers_copy_done ? StreamMessage(StreamEnded{}) : StreamMessage(NothingYet{});
    }
    current_ = std::move(script_.front());
    script_.pop_front();
    switch (current_.kind) {
      case Kind::kWal:
        return WalData{.start = current_.lsn, .wal_end = current_.lsn, .data = current_.data};
      case Kind::kKeepalive:
      case Kind::kPing:
        return Keepalive{.wal_end = current_.lsn, .reply_requested = current_.kind == Kind::kPing};
      case Kind::kLost:
        return fail(ErrorCode::kPostgresUnreachable, "connection lost");
    }
    return NothingYet{};
  }
  Result<> send_status(const StandbyStatus& status) override {
    statuses.push_back(status);
    return {};
  }
  Result<> end() override {
    ended = true;
    wake();
    return {};
  }

 private:
  enum class Kind : std::uint8_t { kWal, kKeepalive, kPing, kLost };
  struct Step {
    Kind kind = Kind::kWal;
    Lsn lsn{};
    std::string data{};
  };
  void wake() const { ::eventfd_write(event_.get(), 1); }

  UniqueFd event_{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  std::deque<Step> script_;
  Step current_;
};

}  // namespace outboxx
