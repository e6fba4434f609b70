#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/log.h"
#include "base/log_line.h"
#include "base/standard_output.h"
#include "cli.h"
#include "commands.h"
#include "config.h"
#include "snapshot_command.h"

namespace outboxx {
namespace {

std::string with_line_end(const std::string& text) {
  return text.ends_with('\n') ? text : text + "\n";
}

Result<> run(const CommandLine& line) {
  Config config = TRY(load_config(line.config_path));
  config.state.adopts_slot = config.state.adopts_slot || line.adopts_slot;
  config.state.accepts_gap = line.accepts_gap;
  return run_pipeline(config, line.wait);
}

Result<> run_command(const CommandLine& line) {
  switch (line.command) {
    case Command::kRun:
      return run(line);
    case Command::kCheck:
      return run_check(line.config_path, line.json);
    case Command::kSlotShow:
      return show_slot(TRY(load_config(line.config_path)));
    case Command::kSlotDrop:
      return drop_slot(TRY(load_config(line.config_path)), line.confirm);
    case Command::kSnapshot:
      return request_snapshot(TRY(load_config(line.config_path)), line.tables, line.where);
    case Command::kSnapshotList:
      return list_snapshots(TRY(load_config(line.config_path)));
    case Command::kSnapshotChange:
      return change_snapshot(TRY(load_config(line.config_path)), line.action, line.job);
    case Command::kVersion:
      return print(with_line_end(version_text()));
    case Command::kHelp:
      return print(with_line_end(line.help_text));
  }
  return {};
}

// A message may have a line for each fault of a file.
void print_lines(const char* label, std::string_view text) {
  std::string out = label;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    out.append(log::printable(text.substr(0, end))).append("\n");
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  std::fputs(out.c_str(), stderr);
}

void print_error(const Error& error) {
  print_lines("outboxx: error: ", error.message);
  if (!error.hint.empty()) {
    print_lines("hint: ", error.hint);
  }
}

int run_program(int argc, char** argv) {
  const Result<CommandLine> line = parse_command_line(argc, argv);
  if (!line) {
    print_error(line.error());
    return exit_code(line.error().code);
  }
  log::configure(line->log_level, line->log_format);
  const Result<> result = run_command(*line);
  if (result) {
    return 0;
  }
  if (line->command == Command::kRun) {
    log::error(result.error());
  } else {
    print_error(result.error());
  }
  return exit_code(result.error().code);
}

// Passwords and rows are in memory: no core file, and no reading of it by other processes of the same user. If the kernel
// refuses, the program is no worse off than others.
void protect_memory() {
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

// One heap for all threads. By default glibc gives each thread of each Kafka client one, up to eight for each core, and what
// clients that are long gone leave in them adds up: 2 MiB per hundred reconnects, and a third more CPU. Of the first alone
// malloc_trim() gives the top back.
void share_heap() {
  ::mallopt(M_ARENA_MAX, 1);
}

}  // namespace
}  // namespace outboxx

int main(int argc, char** argv) {
  // A reader of our output that went away is an error of write(), not the end of the process.
  ::signal(SIGPIPE, SIG_IGN);
  outboxx::protect_memory();
  outboxx::share_heap();
  try {
    return outboxx::run_program(argc, argv);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "outboxx: internal error: %s\n", exception.what());
  } catch (...) {
    std::fprintf(stderr, "outboxx: internal error\n");
  }
  // Without destructors: nothing may be confirmed any more.
  _exit(static_cast<int>(outboxx::ErrorCode::kInternal));
}
