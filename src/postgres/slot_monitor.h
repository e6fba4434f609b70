// SlotMonitor: asks the server every 10 s where the slot stands, for metrics and early warnings, and whether the streams'
// tables are still the published ones; never blocks the loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/background_task.h"
#include "base/backoff.h"
#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "postgres/connection.h"
#include "postgres/options.h"
#include "postgres/slot.h"
#include "postgres/table_watch.h"

namespace outboxx {

// One thread: the pipeline's. If its connection is lost, it says so once and opens another, again and again, with the metrics
// as they were: whether the server is gone is for the replication stream to tell.
class SlotMonitor {
 public:
  struct Parts {
    Connection sql;
    const PostgresOptions& options;
    std::string slot_name;
    std::string sender_pid;  // of the session that streams from the slot: another server does not have it there
    TableWatch tables;
  };

  // Asks for the first time at now. options and metrics must outlive it.
  SlotMonitor(Parts parts, Metrics& metrics, TimePoint now);

  // To poll for readability, always; -1: there is nothing to wait for but next_wake().
  [[nodiscard]] int fd() const;
  void on_ready(TimePoint now);
  void on_time(TimePoint now);
  [[nodiscard]] TimePoint next_wake() const { return next_wake_; }

  // The connection was lost because the server is shutting down or an administrator ended the session (SQLSTATE 57P01), and
  // there is no new one.
  [[nodiscard]] bool was_admin_shutdown() const { return was_admin_shutdown_; }
  // An error: changes of a table may be missing from now on (TableWatch).
  [[nodiscard]] const Result<>& tables() const { return tables_result_; }

 private:
  enum class Question : std::uint8_t { kNone, kSlot, kTables };

  void reopen();
  void take_opened(TimePoint now);
  void lose(const Error& error, TimePoint now);
  [[nodiscard]] Result<> accept_reopened(const std::optional<SlotState>& slot);

  void ask(Question question, TimePoint now);
  void take_answer(TimePoint now);
  void report_failure(const Error& error, TimePoint now);
  void take(const QueryResult& answer, TimePoint now);
  void rest(TimePoint now);
  void report(const std::optional<SlotState>& slot);

  std::optional<Connection> sql_;
  const PostgresOptions& options_;
  std::string slot_name_;
  std::string sender_pid_;
  TableWatch tables_;
  Result<> tables_result_;
  Metrics& metrics_;
  TimePoint next_wake_;
  Question asked_ = Question::kNone;
  bool is_lost_ = false;  // from the loss of a connection to the first answer on another
  bool was_admin_shutdown_ = false;
  std::string last_status_ = "reserved";  // of the WAL, or "missing"
  std::string last_failure_;
  Backoff backoff_;
  Result<Connection> reopened_;
  BackgroundTask task_{"slot monitor"};  // last: it ends before what it uses
};

// Pure parts, for tests.

void publish_slot_metrics(const SlotState& slot, Metrics& metrics);

// What to tell the operator when the slot's wal_status became another ("missing": no slot), and how loud; nothing if it did
// not.
struct StatusChange {
  bool is_warning = false;
  std::string message;
};
[[nodiscard]] std::optional<StatusChange> describe_status_change(std::string_view from, std::string_view to,
                                                                 std::string_view slot_name);

}  // namespace outboxx
