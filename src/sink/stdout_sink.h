// StdoutSink: writes each record's value as one line of standard output, for trying things out and for pipes.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/wait.h"
#include "model/record.h"
#include "sink/sink.h"

namespace outboxx {

// Outlives the sinks that write to it, one after another.
struct Output {
  int fd = -1;
  bool ends_amid_line = false;
};

// A record counts as delivered when its last byte was taken by the descriptor. A reader that hangs makes produce() say kFull,
// and nothing ever blocks. SIGPIPE must be ignored by the process: a closed reader is then the error kOutput.
// A line that an earlier sink left unfinished is ended before the first record: a reader would skip both as one bad line.
class StdoutSink final : public Sink {
 public:
  // Does not own output's descriptor. Both outlive the sink. state_file: where kProgressStream's records go, one at a time.
  StdoutSink(Output& output, Metrics& metrics, std::string state_file = {})
      : output_(output), metrics_(metrics), state_file_(std::move(state_file)) {}

  [[nodiscard]] Result<> open(TimePoint deadline, StopSignal stop) override;
  // Writability while records are not written, or written and not yet reported by poll(); otherwise there is nothing to wait
  // for, and fd is -1.
  [[nodiscard]] pollfd poll_fd() const override;
  [[nodiscard]] Result<Admission> produce(const Record& record, UnitId unit) override;
  [[nodiscard]] std::chrono::milliseconds linger() const override { return {}; }
  [[nodiscard]] Result<> flush() override;
  [[nodiscard]] Result<std::span<const Delivery>> poll() override;
  void abandon() noexcept override;

 private:
  struct PendingRecord {
    std::uint64_t end = 0;  // position after its last byte, counted from the first byte of all
    UnitId unit = 0;
  };

  [[nodiscard]] std::size_t pending_bytes() const { return buffer_.size() - written_; }
  [[nodiscard]] bool would_block() const;
  [[nodiscard]] std::string_view next_chunk() const;
  [[nodiscard]] Result<> write_pending();
  void update_gauges();

  Output& output_;
  Metrics& metrics_;
  std::string state_file_;
  bool progress_is_written_ = false;  // and not yet reported by poll()
  bool is_regular_file_ = false;
  std::string buffer_;
  std::size_t written_ = 0;         // of buffer_
  std::uint64_t buffer_start_ = 0;  // position of buffer_'s first byte
  std::deque<PendingRecord> records_;
  std::vector<Delivery> deliveries_;
};

}  // namespace outboxx
