#include "cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <expected>
#include <map>
#include <sstream>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/log.h"

namespace outboxx {
namespace {

constexpr const char* kExamples = R"(Examples:
  outboxx check --config outboxx.toml     find what is wrong, and the SQL that mends it
  outboxx run --config outboxx.toml       stream until stopped by SIGTERM or SIGINT
  outboxx --config outboxx.toml           the same
  outboxx slot show --config outboxx.toml
  outboxx snapshot --config outboxx.toml --table public.orders

Configuration: docs/configuration.md. Exit codes: docs/exit-codes.md.)";

constexpr const char* kRunExamples = R"(Examples:
  outboxx run --config outboxx.toml
  outboxx run --config outboxx.toml --log-format json --log-level debug)";

constexpr const char* kCheckExamples = R"(Examples:
  outboxx check --config outboxx.toml
  outboxx check --config outboxx.toml --json)";

constexpr const char* kSlotExamples = R"(Examples:
  outboxx slot show --config outboxx.toml
  outboxx slot drop --config outboxx.toml --confirm outboxx_slot)";

constexpr const char* kSnapshotExamples = R"(Examples:
  outboxx snapshot --config outboxx.toml --table public.orders
  outboxx snapshot --config outboxx.toml --table public.orders --where "region = 7"
  outboxx snapshot list --config outboxx.toml
  outboxx snapshot pause 17 --config outboxx.toml)";

void add_config_option(CLI::App& app, CommandLine& line) {
  app.add_option("-c,--config", line.config_path, "The configuration file")->type_name("FILE");
}

void add_log_options(CLI::App& app, CommandLine& line) {
  using log::Level;
  using log::LogFormat;
  static const std::map<std::string, LogFormat> kLogFormats = {{"text", LogFormat::kText}, {"json", LogFormat::kJson}};
  static const std::map<std::string, Level> kLevels = {{"trace", Level::kTrace},
                                                       {"debug", Level::kDebug},
                                                       {"info", Level::kInfo},
                                                       {"warn", Level::kWarn},
                                                       {"error", Level::kError}};
  // A callback, for the library's own transformers put numbers of enumerators into the help and take them as values.
  app.add_option_function<std::string>(
         "--log-format", [&line](const std::string& name) { line.log_format = kLogFormats.at(name); },
         "How log lines look: text or json (default: text)")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json"}).description(""));
  app.add_option_function<std::string>(
         "--log-level", [&line](const std::string& name) { line.log_level = kLevels.at(name); },
         "The least level logged: trace, debug, info, warn or error (default: info)")
      ->type_name("LEVEL")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}).description(""));
}

void add_wait_option(CLI::App& app, CommandLine& line) {
  app.add_flag("--wait", line.wait, "At the start, wait for servers that cannot be reached (default: give up)");
}

void add_start_options(CLI::App& app, CommandLine& line) {
  app.add_flag("--adopt-slot", line.adopts_slot, "Use a slot without a state record: trust its position");
  app.add_option("--accept-gap", line.accepts_gap, "Go on although changes may be missing, and write a gap marker")
      ->type_name("REASON");
}

CLI::App& add_command(CLI::App& parent, const char* name, const char* description, const char* examples) {
  CLI::App& command = *parent.add_subcommand(name, description);
  command.footer(examples);
  return command;
}

// Tables again, or for the first time, while the instance streams.
void add_snapshot_command(CLI::App& app, CommandLine& line) {
  CLI::App& snapshot = add_command(app, "snapshot", "Have the running instance read tables again", kSnapshotExamples);
  snapshot.require_subcommand(0, 1);
  add_config_option(snapshot, line);
  snapshot.add_option("--table", line.tables, "A table of a stream that lists \"read\"; may be given again")
      ->type_name("SCHEMA.TABLE")
      ->expected(1)
      ->take_all();
  snapshot.add_option("--where", line.where, "Only rows for which this is true")->type_name("SQL");
  CLI::App& list = add_command(snapshot, "list", "Show the jobs", kSnapshotExamples);
  add_config_option(list, line);
  for (const char* const action : {"pause", "resume", "cancel"}) {
    CLI::App& change = add_command(snapshot, action, "Of a job in the queue", kSnapshotExamples);
    add_config_option(change, line);
    change.add_option("id", line.job, "The job")->type_name("ID")->required();
    change.callback([&line, action] { line.action = action; });
  }
  // A parent's callback comes after those of its commands.
  snapshot.callback([&line, &snapshot, &list] {
    line.command = snapshot.get_subcommands().empty() ? Command::kSnapshot
                   : list.parsed()                    ? Command::kSnapshotList
                                                      : Command::kSnapshotChange;
  });
}

void add_commands(CLI::App& app, CommandLine& line) {
  CLI::App& run = add_command(app, "run", "Stream changes until stopped (the default)", kRunExamples);
  add_config_option(run, line);
  add_log_options(run, line);
  add_wait_option(run, line);
  add_start_options(run, line);

  CLI::App& check = add_command(app, "check", "Check the configuration, PostgreSQL and Kafka; change nothing", kCheckExamples);
  add_config_option(check, line);
  check.add_flag("--json", line.json, "Print the findings as JSON");
  check.callback([&line] { line.command = Command::kCheck; });

  CLI::App& slot = add_command(app, "slot", "Show or drop the replication slot", kSlotExamples);
  slot.require_subcommand(1);
  CLI::App& show = add_command(slot, "show", "Show the replication slot", kSlotExamples);
  add_config_option(show, line);
  show.callback([&line] { line.command = Command::kSlotShow; });
  CLI::App& drop = add_command(slot, "drop", "Drop the replication slot, and with it every change not sent yet", kSlotExamples);
  add_config_option(drop, line);
  drop.add_option("--confirm", line.confirm, "The name of the slot, to show that you mean it")->type_name("NAME");
  drop.callback([&line] { line.command = Command::kSlotDrop; });

  add_snapshot_command(app, line);

  CLI::App& version = add_command(app, "version", "Print the version", "");
  version.callback([&line] { line.command = Command::kVersion; });
}

std::string help_text(const CLI::App& app, const CLI::CallForHelp& call) {
  std::ostringstream text;
  std::ostringstream unused;
  app.exit(call, text, unused);
  return text.str();
}

std::unexpected<Error> usage_error(const std::string& message) {
  return fail(ErrorCode::kUsage, message, "Try \"outboxx --help\".");
}

// The library's sentences begin upper-case and may span lines.
std::string in_our_style(std::string message) {
  if (message.size() > 1 && message[0] >= 'A' && message[0] <= 'Z' &&
      (message[1] == ' ' || (message[1] >= 'a' && message[1] <= 'z'))) {
    message[0] = static_cast<char>(message[0] - 'A' + 'a');
  }
  std::replace(message.begin(), message.end(), '\n', ' ');
  while (message.ends_with(' ') || message.ends_with('.')) {
    message.pop_back();
  }
  return message;
}

Result<CommandLine> checked(CommandLine line) {
  if (line.command != Command::kVersion && line.config_path.empty()) {
    return usage_error("missing --config FILE");
  }
  if (line.command == Command::kSnapshot && line.tables.empty()) {
    return usage_error("missing --table SCHEMA.TABLE");
  }
  return line;
}

}  // namespace

Result<CommandLine> parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App app("Streams committed row changes of PostgreSQL into Apache Kafka.", "outboxx");
  app.footer(kExamples);
  add_config_option(app, line);
  add_log_options(app, line);
  add_wait_option(app, line);
  add_start_options(app, line);
  bool is_version = false;
  app.add_flag("--version", is_version, "Print the version");
  app.require_subcommand(0, 1);
  add_commands(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& call) {
    line.command = Command::kHelp;
    line.help_text = help_text(app, call);
    return line;
  } catch (const CLI::ExtrasError&) {
    return usage_error("unknown argument \"" + app.remaining(true).front() + "\"");
  } catch (const CLI::ParseError& error) {
    return usage_error(in_our_style(error.what()));
  }
  if (is_version) {
    line.command = Command::kVersion;
  }
  return checked(std::move(line));
}

}  // namespace outboxx
