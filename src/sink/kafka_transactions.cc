#include "sink/kafka_transactions.h"

#include <librdkafka/rdkafka.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "sink/kafka_error.h"
#include "sink/kafka_options.h"

namespace outboxx {
namespace {

// librdkafka's calls can be taken up again after this local time-out: it says nothing about how the transaction ended.
constexpr std::chrono::milliseconds kSlice{1000};

// Longer than any broker keeps a transaction open: by then it is ended, whatever is still awaited.
constexpr std::chrono::milliseconds kCommitMax = kTransactionTimeout + std::chrono::seconds{15};

constexpr int kLeaveMs = 20;

}  // namespace

KafkaTransactions::KafkaTransactions(rd_kafka_t* kafka, int wakeup_fd)
    : kafka_(kafka), wakeup_fd_(wakeup_fd), thread_([this] { run(); }) {}

KafkaTransactions::~KafkaTransactions() {
  is_closing_ = true;
  State idle = state_.load();
  while (idle != State::kCommitting && !state_.compare_exchange_weak(idle, State::kClosing)) {
  }
  state_.notify_all();
  thread_.join();
  if (error_ != nullptr) {
    rd_kafka_error_destroy(error_);
  }
  if (idle == State::kOpen) {
    leave();
  }
}

// librdkafka 2.0.2 takes partitions into an open transaction on its main thread, a moment after their first records, and aborts
// the process if the handle is destroyed meanwhile (rd_kafka_txn_handle_AddPartitionsToTxn(), txn_req_cnt). It takes none into
// one that is being aborted; how the abort ends is nothing to us. The call waits for its time-out, as nobody takes the reports
// of the records that it gives up: long enough for the main thread of a busy machine to hear of it.
void KafkaTransactions::leave() {
  if (rd_kafka_error_t* const error = rd_kafka_abort_transaction(kafka_, kLeaveMs)) {
    rd_kafka_error_destroy(error);
  }
}

Result<> KafkaTransactions::init(TimePoint deadline, StopSignal stop) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    const auto slice = std::clamp(left, std::chrono::milliseconds{1}, kSlice);
    rd_kafka_error_t* const error = rd_kafka_init_transactions(kafka_, static_cast<int>(slice.count()));
    if (error == nullptr) {
      return {};
    }
    if (rd_kafka_error_is_retriable(error) == 0 || Clock::now() >= deadline) {
      return std::unexpected(transaction_error(kafka_, "could not start Kafka transactions", error));
    }
    rd_kafka_error_destroy(error);
    TRY(wait_for(-1, 0, std::min(deadline, Clock::now() + std::chrono::milliseconds{10}), stop));
  }
}

Result<bool> KafkaTransactions::ready_to_produce() {
  switch (state_.load(std::memory_order_acquire)) {
    case State::kOpen:
      return true;
    case State::kNone:
      break;
    case State::kCommitting:
    case State::kEnded:
    case State::kClosing:
      return false;
  }
  if (rd_kafka_error_t* const error = rd_kafka_begin_transaction(kafka_)) {
    return std::unexpected(transaction_error(kafka_, "could not begin a Kafka transaction", error));
  }
  state_ = State::kOpen;
  open_since_ = Clock::now();
  return true;
}

std::optional<Error> KafkaTransactions::failure() {
  const State state = state_.load(std::memory_order_acquire);
  if (state == State::kCommitting || state == State::kEnded) {
    return std::nullopt;
  }
  if (state != State::kOpen) {
    return Error{.code = ErrorCode::kKafkaUnreachable,
                 .message = "records were given up although no Kafka transaction is open",
                 .hint = {},
                 .sqlstate = {}};
  }
  // It refuses, and names what has made the open transaction fail.
  rd_kafka_error_t* const error = rd_kafka_begin_transaction(kafka_);
  CHECK(error != nullptr);
  return transaction_error(kafka_, "the Kafka transaction failed", error);
}

void KafkaTransactions::start_commit() {
  CHECK(state_ == State::kOpen);
  state_ = State::kCommitting;
  state_.notify_all();
}

std::optional<Result<>> KafkaTransactions::take_commit() {
  if (state_.load(std::memory_order_acquire) != State::kEnded) {
    return std::nullopt;
  }
  rd_kafka_error_t* const error = std::exchange(error_, nullptr);
  state_ = State::kNone;
  if (error != nullptr) {
    return std::unexpected(transaction_error(kafka_, "could not commit a Kafka transaction", error));
  }
  open_since_.reset();
  return Result<>{};
}

void KafkaTransactions::run() {
  while (!is_closing_) {
    const State state = state_;
    if (state != State::kCommitting) {
      state_.wait(state);
      continue;
    }
    error_ = commit();
    state_ = State::kEnded;
    ::eventfd_write(wakeup_fd_, 1);
  }
}

// Records of a topic that was deleted may never be reported: librdkafka waits for them, and no broker ends that.
rd_kafka_error_t* KafkaTransactions::commit() {
  const TimePoint deadline = Clock::now() + kCommitMax;
  while (true) {
    rd_kafka_error_t* const error = rd_kafka_commit_transaction(kafka_, static_cast<int>(kSlice.count()));
    if (error == nullptr || rd_kafka_error_is_retriable(error) == 0 || is_closing_ || Clock::now() >= deadline) {
      return error;
    }
    rd_kafka_error_destroy(error);
  }
}

Error transaction_error(rd_kafka_t* kafka, const char* what, rd_kafka_error_t* error) {
  // The call says what failed, the handle why.
  std::array<char, 512> reason{};
  const rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(kafka, reason.data(), reason.size());
  const rd_kafka_resp_err_t code = fatal == RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_error_code(error) : fatal;
  Error result{.code = kafka_error_code(code),
               .message = std::string(what) + ": " + rd_kafka_error_string(error),
               .hint = kafka_error_hint(code, {}),
               .sqlstate = {}};
  rd_kafka_error_destroy(error);
  return result;
}

}  // namespace outboxx
