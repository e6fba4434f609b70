// The command line: parsed and checked, nothing done yet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace outboxx {

enum class Command : std::uint8_t {
  kRun,
  kCheck,
  kSlotShow,
  kSlotDrop,
  kSnapshot,
  kSnapshotList,
  kSnapshotChange,
  kVersion,
  kHelp
};

struct CommandLine {
  Command command = Command::kRun;
  std::string config_path;  // empty for kVersion and kHelp
  log::Level log_level = log::Level::kInfo;
  log::LogFormat log_format = log::LogFormat::kText;
  bool wait = false;                       // kRun: for servers that cannot be reached yet
  bool adopts_slot = false;                // kRun
  std::optional<std::string> accepts_gap;  // kRun: the reason
  bool json = false;                       // kCheck
  std::string confirm;                     // kSlotDrop: the slot's name, typed again
  std::vector<std::string> tables;         // kSnapshot: schema.table
  std::string where;                       // kSnapshot: SQL
  std::string action;                      // kSnapshotChange: pause, resume, cancel
  std::uint64_t job = 0;                   // kSnapshotChange
  std::string help_text;                   // kHelp: what to print
};

// Without a subcommand it is "run": outboxx --config FILE. Errors are kUsage.
[[nodiscard]] Result<CommandLine> parse_command_line(int argc, const char* const* argv);

}  // namespace outboxx
