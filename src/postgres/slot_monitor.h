// SlotMonitor: asks the server every 10 s where the slot stands, for metrics and early warnings, and whether the streams'
// tables are still the published ones; never blocks the loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "postgres/connection.h"
#include "postgres/slot.h"
#include "postgres/table_watch.h"

namespace outboxx {

// One thread: the pipeline's. metrics must outlive it. If its connection is lost, it says so once and stays silent, with the
// metrics as they were: whoever owns the loop decides whether the server is gone and reconnects everything.
class SlotMonitor {
 public:
  // Asks for the first time at now.
  SlotMonitor(Connection sql, std::string slot_name, TableWatch tables, Metrics& metrics, TimePoint now);

  // To poll for readability, always; -1 once the connection is lost.
  [[nodiscard]] int fd() const;
  void on_ready(TimePoint now);
  void on_time(TimePoint now);
  // TimePoint::max() once the connection is lost.
  [[nodiscard]] TimePoint next_wake() const { return next_wake_; }

  [[nodiscard]] bool connection_lost() const { return !sql_.has_value(); }
  // It was lost because the server is shutting down or an administrator ended the session (SQLSTATE 57P01).
  [[nodiscard]] bool was_admin_shutdown() const { return was_admin_shutdown_; }
  // An error: changes of a table may be missing from now on (TableWatch).
  [[nodiscard]] const Result<>& tables() const { return tables_result_; }

 private:
  enum class Question : std::uint8_t { kNone, kSlot, kTables };

  void ask(Question question, TimePoint now);
  void take_answer(TimePoint now);
  void report_failure(const Error& error, TimePoint now);
  void take(const QueryResult& answer, TimePoint now);
  void rest(TimePoint now);
  void report(const std::optional<SlotState>& slot);

  std::optional<Connection> sql_;
  std::string slot_name_;
  TableWatch tables_;
  Result<> tables_result_;
  Metrics& metrics_;
  TimePoint next_wake_;
  Question asked_ = Question::kNone;
  bool was_admin_shutdown_ = false;
  std::string last_status_ = "reserved";  // of the WAL, or "missing"
  std::string last_failure_;
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
