// ReplayedStream: a replication stream that sends a Recording again and again from memory, with rising LSNs, as one long burst.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/lsn.h"
#include "base/unique_fd.h"
#include "fakes/recording.h"
#include "postgres/libpq_stream.h"
#include "postgres/replication_stream.h"

namespace outboxx {

// Ends (StreamEnded) when all rows were sent and the status updates confirm them. The frames take the way of libpq's: through
// parse_stream_message().
class ReplayedStream final : public ReplicationStream {
 public:
  // recording outlives the stream. rows is rounded up to whole transactions.
  ReplayedStream(Recording& recording, std::size_t rows_per_transaction, std::size_t rows)
      : recording_(recording),
        rows_per_transaction_(rows_per_transaction),
        rows_((rows + rows_per_transaction - 1) / rows_per_transaction * rows_per_transaction),
        position_(recording.start.value) {}

  // Calls begin before the first-th row is received, end before the last-th: what lies between is measured.
  void measure(std::size_t first, std::size_t last, std::function<void()> begin, std::function<void()> end) {
    first_ = first;
    last_ = last;
    begin_ = std::move(begin);
    end_ = std::move(end);
  }

  [[nodiscard]] std::size_t rows() const { return rows_; }
  [[nodiscard]] Lsn start() const { return recording_.start; }

  StreamWait prepare_wait(TimePoint, bool reading) override {
    return {.fd = event_.get(), .events = static_cast<short>(reading ? POLLIN : 0), .bound = {}, .delivery_bound = {}};
  }

  Result<StreamMessage> receive() override {
    if (sent_ == rows_ && step_ == Step::kBegin) {
      return after_the_last();
    }
    return parse_stream_message(next_frame());
  }

  Result<> send_status(const StandbyStatus& status) override {
    confirmed_ = status.flush;
    if (asked_ && confirmed_.value >= position_) {
      ::eventfd_write(event_.get(), 1);
    }
    return {};
  }
  Result<> end() override { return {}; }

 private:
  // Of WAL, about what the benchmark table's rows and a commit record take.
  static constexpr std::uint64_t kRowSize = 304;
  static constexpr std::uint64_t kCommitSize = 48;
  // Of the LSNs in Begin and Commit.
  static constexpr std::size_t kFinalLsn = kWalDataHeaderSize + 1;
  static constexpr std::size_t kCommitLsn = kWalDataHeaderSize + 2;
  static constexpr std::size_t kEndLsn = kCommitLsn + sizeof(std::uint64_t);

  enum class Step : std::uint8_t { kBegin, kDescriptions, kRows };

  std::string_view next_frame() {
    switch (step_) {
      case Step::kBegin:
        put_u64(recording_.begin, kFinalLsn, position_ + rows_per_transaction_ * kRowSize);
        step_ = Step::kDescriptions;
        return recording_.begin;
      case Step::kDescriptions:
        if (described_ < recording_.descriptions.size()) {
          return recording_.descriptions[described_++];
        }
        step_ = Step::kRows;
        return next_row();
      case Step::kRows:
        break;
    }
    if (sent_ % rows_per_transaction_ != 0) {
      return next_row();
    }
    put_u64(recording_.commit, kCommitLsn, position_);
    position_ += kCommitSize;
    put_u64(recording_.commit, kEndLsn, position_);
    step_ = Step::kBegin;
    return recording_.commit;
  }

  std::string_view next_row() {
    if (sent_ == first_) {
      begin_();
    } else if (sent_ == last_) {
      end_();
    }
    ++sent_;
    std::string& row = recording_.rows[row_];
    row_ = row_ + 1 == recording_.rows.size() ? 0 : row_ + 1;
    put_u64(row, 1, position_);
    position_ += kRowSize;
    return row;
  }

  // A server that stops asks for a reply, so that the answer comes as soon as everything is delivered.
  Result<StreamMessage> after_the_last() {
    if (!std::exchange(asked_, true)) {
      eventfd_t count = 0;
      ::eventfd_read(event_.get(), &count);
      return Keepalive{.wal_end = Lsn{position_}, .reply_requested = true};
    }
    return confirmed_.value >= position_ ? StreamMessage(StreamEnded{}) : StreamMessage(NothingYet{});
  }

  Recording& recording_;
  std::size_t rows_per_transaction_;
  std::size_t rows_;
  std::uint64_t position_;
  std::size_t first_ = SIZE_MAX;
  std::size_t last_ = SIZE_MAX;
  std::function<void()> begin_;
  std::function<void()> end_;
  Step step_ = Step::kBegin;
  std::size_t described_ = 0;
  std::size_t sent_ = 0;
  std::size_t row_ = 0;  // of the recording
  bool asked_ = false;
  Lsn confirmed_{};
  UniqueFd event_{::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)};  // readable: there is more to receive
};

}  // namespace outboxx
