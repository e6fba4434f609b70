#include "sink/stdout_sink.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "base/wait.h"
#include "model/record.h"
#include "sink/sink.h"
#include "sink/state_file.h"

namespace outboxx {
namespace {

constexpr std::size_t kPendingBytesMax = std::size_t{1024} * 1024;

std::unexpected<Error> output_error(int error) {
  return fail(ErrorCode::kOutput, std::string("could not write to standard output: ") + std::strerror(error));
}

// A crash or a full disk may have cut the line before the place that is written next. It is looked at through a descriptor of
// its own, for a shell opens a file for writing only. Yes if it cannot be seen: an empty line does less harm than two glued
// ones.
bool file_ends_amid_line(int fd, int flags, off_t size) {
  const off_t end = (flags & O_APPEND) != 0 ? size : ::lseek(fd, 0, SEEK_CUR);
  if (end <= 0) {
    return false;
  }
  const UniqueFd reader(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
  char last = '\0';
  return !reader || ::pread(reader.get(), &last, 1, end - 1) != 1 || last != '\n';
}

}  // namespace

Result<> StdoutSink::open(TimePoint /*deadline*/, StopSignal /*stop*/) {
  struct stat status{};
  const int flags = ::fcntl(output_.fd, F_GETFL);
  if (flags < 0 || ::fstat(output_.fd, &status) != 0) {
    return output_error(errno);
  }
  if ((flags & O_ACCMODE) == O_RDONLY) {
    return output_error(EBADF);
  }
  is_regular_file_ = S_ISREG(status.st_mode);
  if (is_regular_file_) {
    output_.ends_amid_line = file_ends_amid_line(output_.fd, flags, status.st_size);
  }
  metrics_.sink_reachable.set(1);
  return {};
}

pollfd StdoutSink::poll_fd() const {
  if (records_.empty() && !progress_is_written_) {
    return {.fd = -1, .events = 0, .revents = 0};
  }
  return {.fd = output_.fd, .events = POLLOUT, .revents = 0};
}

Result<Admission> StdoutSink::produce(const Record& record, UnitId unit) {
  if (record.stream == kProgressStream) {
    // Waits for the disk, once a second at most: who needs more takes Kafka.
    TRY(write_state_file(state_file_, record.value));
    progress_is_written_ = true;
    return Admission::kAccepted;
  }
  const std::size_t bytes = record.value.size() + 1;
  // A record larger than the cap goes alone.
  if (pending_bytes() > 0 && pending_bytes() + bytes > kPendingBytesMax) {
    return Admission::kFull;
  }
  if (buffer_.empty() && output_.ends_amid_line) {
    buffer_.push_back('\n');
  }
  buffer_.reserve(buffer_.size() + bytes);  // else the line end might double the memory of a large record
  buffer_.append(record.value).push_back('\n');
  records_.push_back({.end = buffer_start_ + buffer_.size(), .unit = unit});
  return Admission::kAccepted;
}

Result<> StdoutSink::flush() {
  TRY(write_pending());
  update_gauges();
  return {};
}

Result<std::span<const Delivery>> StdoutSink::poll() {
  TRY(write_pending());
  deliveries_.clear();
  const std::uint64_t position = buffer_start_ + written_;
  std::uint64_t delivered = 0;
  while (!records_.empty() && records_.front().end <= position) {
    const UnitId unit = records_.front().unit;
    records_.pop_front();
    ++delivered;
    if (!deliveries_.empty() && deliveries_.back().unit == unit) {
      ++deliveries_.back().count;
    } else {
      deliveries_.push_back({.unit = unit, .count = 1});
    }
  }
  if (std::exchange(progress_is_written_, false)) {
    deliveries_.push_back({.unit = kProgressUnit, .count = 1});
  }
  metrics_.records_delivered.add(delivered);
  update_gauges();
  return std::span<const Delivery>(deliveries_);
}

void StdoutSink::abandon() noexcept {
  buffer_.clear();
  written_ = 0;
  records_.clear();
  update_gauges();
}

// Asked before each write, because O_NONBLOCK is not for us to set: it belongs to the open file description, which we share
// with the shell and whoever else has the same terminal or pipe, and would make their reads and writes fail. poll(2) says
// that PIPE_BUF bytes fit (pipe(7)), so a write of no more than these does not block.
bool StdoutSink::would_block() const {
  if (is_regular_file_) {
    return false;
  }
  pollfd writable{.fd = output_.fd, .events = POLLOUT, .revents = 0};
  return ::poll(&writable, 1, 0) <= 0;  // an error or a hang-up counts as ready: write() will name it
}

// Whole lines if one fits, so that neither another writer nor abandon() can cut a line of up to PIPE_BUF bytes on a pipe.
std::string_view StdoutSink::next_chunk() const {
  const std::string_view pending = std::string_view(buffer_).substr(written_);
  if (is_regular_file_) {
    return pending;
  }
  const std::string_view chunk = pending.substr(0, PIPE_BUF);
  const std::size_t last_line_end = chunk.rfind('\n');
  return last_line_end == std::string_view::npos ? chunk : chunk.substr(0, last_line_end + 1);
}

Result<> StdoutSink::write_pending() {
  while (pending_bytes() > 0 && !would_block()) {
    const std::string_view chunk = next_chunk();
    const ssize_t count = ::write(output_.fd, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0 && errno == EAGAIN) {
      break;  // somebody else has set O_NONBLOCK
    }
    if (count < 0) {
      metrics_.produce_errors.add();
      return output_error(errno);
    }
    const auto taken = chunk.substr(0, static_cast<std::size_t>(count));
    output_.ends_amid_line = taken.empty() ? output_.ends_amid_line : taken.back() != '\n';
    written_ += taken.size();
  }
  // Half of the buffer at least, so that moving the rest stays cheap.
  if (written_ == buffer_.size() || written_ >= kPendingBytesMax / 2) {
    buffer_start_ += written_;
    buffer_.erase(0, written_);
    written_ = 0;
  }
  return {};
}

void StdoutSink::update_gauges() {
  metrics_.in_flight_bytes.set(static_cast<std::int64_t>(pending_bytes()));
  metrics_.in_flight_records.set(static_cast<std::int64_t>(records_.size()));
}

}  // namespace outboxx
