// KafkaTransactions: commits the producer's Kafka transactions on a thread of its own, because librdkafka's call blocks.
//
// The thread does nothing but that one call (docs/decisions/0001-transaction-thread.md). The pipeline's thread meanwhile serves
// delivery reports, which librdkafka's commit waits for, and PostgreSQL.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"

namespace outboxx {

// Of one producer handle, which outlives it. Used by the pipeline's thread.
class KafkaTransactions {
 public:
  // wakeup_fd: an eventfd, written when a commit has ended.
  KafkaTransactions(rd_kafka_t* kafka, int wakeup_fd);
  // Waits for a commit under way, a second at most: the transaction is left to its time-out or to the next producer's start.
  // One that is open is given up.
  ~KafkaTransactions();
  KafkaTransactions(const KafkaTransactions&) = delete;
  KafkaTransactions& operator=(const KafkaTransactions&) = delete;

  // Fences earlier producers of the pipeline and ends their transactions. Blocks for up to a second at a time before it looks
  // at stop. kKafkaUnreachable, kKafkaRefused, kFenced.
  [[nodiscard]] Result<> init(TimePoint deadline, StopSignal stop);

  // Before a record: begins a transaction if none is open. False while one is being committed.
  [[nodiscard]] Result<bool> ready_to_produce();

  // Why the open transaction has to be given up. Nothing while it is being committed: take_commit() tells then.
  [[nodiscard]] std::optional<Error> failure();

  // Ends the open transaction; take_commit() tells how.
  void start_commit();
  // Nothing yet, a value, or an error: whether the transaction was committed may be unknown then. The producer is spent: a new
  // one ends the transaction, and the progress record tells how it ended.
  [[nodiscard]] std::optional<Result<>> take_commit();

  // When the transaction began that is open, being committed or failed.
  [[nodiscard]] std::optional<TimePoint> open_since() const { return open_since_; }

 private:
  enum class State : std::uint8_t { kNone, kOpen, kCommitting, kEnded, kClosing };

  void run();
  void leave();
  [[nodiscard]] rd_kafka_error_t* commit();

  rd_kafka_t* kafka_;
  int wakeup_fd_;
  std::optional<TimePoint> open_since_;
  std::atomic<State> state_{State::kNone};
  rd_kafka_error_t* error_ = nullptr;  // the thread's, until state_ is kEnded
  std::atomic<bool> is_closing_{false};
  std::thread thread_;
};

// Why a transaction failed. Takes the error.
[[nodiscard]] Error transaction_error(rd_kafka_t* kafka, const char* what, rd_kafka_error_t* error);

}  // namespace outboxx
