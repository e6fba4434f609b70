#include "cli.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace outboxx {
namespace {

Result<CommandLine> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "outboxx");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

CommandLine parsed(std::vector<const char*> arguments) {
  auto line = parse(std::move(arguments));
  EXPECT_TRUE(line) << line.error().message;
  return line ? *std::move(line) : CommandLine{};
}

std::string usage_error(std::vector<const char*> arguments) {
  const auto line = parse(std::move(arguments));
  EXPECT_FALSE(line);
  if (line) {
    return {};
  }
  EXPECT_EQ(line.error().code, ErrorCode::kUsage);
  EXPECT_EQ(line.error().hint, "Try \"outboxx --help\".");
  return line.error().message;
}

TEST(Cli, RunsWithAndWithoutTheSubcommand) {
  for (const CommandLine& line : {parsed({"run", "--config", "f"}), parsed({"--config", "f"}), parsed({"-c", "f"}),
                                  parsed({"--config=f"}), parsed({"-c", "f", "run"}), parsed({"run", "-c", "f"})}) {
    EXPECT_EQ(line.command, Command::kRun);
    EXPECT_EQ(line.config_path, "f");
    EXPECT_EQ(line.log_level, log::Level::kInfo);
    EXPECT_EQ(line.log_format, log::LogFormat::kText);
  }
}

TEST(Cli, LogOptionsAreThoseOfRun) {
  for (const CommandLine& line : {parsed({"run", "-c", "f", "--log-format", "json", "--log-level", "debug"}),
                                  parsed({"-c", "f", "--log-format=json", "--log-level=debug"})}) {
    EXPECT_EQ(line.log_level, log::Level::kDebug);
    EXPECT_EQ(line.log_format, log::LogFormat::kJson);
  }
  EXPECT_EQ(parsed({"-c", "f", "--log-level", "trace"}).log_level, log::Level::kTrace);
  EXPECT_EQ(parsed({"-c", "f", "--log-level", "warn"}).log_level, log::Level::kWarn);
  EXPECT_EQ(parsed({"-c", "f", "--log-level", "error"}).log_level, log::Level::kError);
}

TEST(Cli, WaitIsAnOptionOfRun) {
  EXPECT_FALSE(parsed({"run", "-c", "f"}).wait);
  EXPECT_TRUE(parsed({"run", "-c", "f", "--wait"}).wait);
  EXPECT_TRUE(parsed({"-c", "f", "--wait"}).wait);
}

TEST(Cli, OtherSubcommands) {
  EXPECT_EQ(parsed({"check", "-c", "f"}).command, Command::kCheck);
  EXPECT_FALSE(parsed({"check", "-c", "f"}).json);
  EXPECT_TRUE(parsed({"check", "-c", "f", "--json"}).json);
  EXPECT_EQ(parsed({"slot", "show", "-c", "f"}).command, Command::kSlotShow);
  const CommandLine drop = parsed({"slot", "drop", "--config", "f", "--confirm", "s"});
  EXPECT_EQ(drop.command, Command::kSlotDrop);
  EXPECT_EQ(drop.config_path, "f");
  EXPECT_EQ(drop.confirm, "s");
  EXPECT_EQ(parsed({"slot", "drop", "--config", "f"}).confirm, "");
  EXPECT_EQ(parsed({"version"}).command, Command::kVersion);
  EXPECT_EQ(parsed({"--version"}).command, Command::kVersion);
}

TEST(Cli, HelpEndsWithExamples) {
  const std::vector<std::pair<std::vector<const char*>, std::string>> cases = {
      {{"--help"}, "Configuration: docs/configuration.md. Exit codes: docs/exit-codes.md.\n"},
      {{"-h"}, "Configuration: docs/configuration.md. Exit codes: docs/exit-codes.md.\n"},
      {{"run", "--help"}, "  outboxx run --config outboxx.toml --log-format json --log-level debug\n"},
      {{"check", "-h"}, "  outboxx check --config outboxx.toml --json\n"},
      {{"slot", "--help"}, "  outboxx slot drop --config outboxx.toml --confirm outboxx_slot\n"},
      {{"slot", "drop", "--help"}, "  outboxx slot drop --config outboxx.toml --confirm outboxx_slot\n"},
  };
  for (const auto& [arguments, end] : cases) {
    const CommandLine line = parsed(arguments);
    EXPECT_EQ(line.command, Command::kHelp);
    EXPECT_TRUE(line.help_text.ends_with(end)) << line.help_text;
    EXPECT_NE(line.help_text.find("Usage: outboxx"), std::string::npos) << line.help_text;
  }
}

TEST(Cli, WrongCommandLinesSayWhatIsWrong) {
  EXPECT_EQ(usage_error({}), "missing --config FILE");
  EXPECT_EQ(usage_error({"run"}), "missing --config FILE");
  EXPECT_EQ(usage_error({"check", "--json"}), "missing --config FILE");
  EXPECT_EQ(usage_error({"slot", "-c", "f"}), "a subcommand is required");
  EXPECT_EQ(usage_error({"slot"}), "a subcommand is required");
  EXPECT_EQ(usage_error({"--config"}), "--config: 1 required FILE missing");
  EXPECT_EQ(usage_error({"--config", "f", "--confg", "x"}), "unknown argument \"--confg\"");
  EXPECT_EQ(usage_error({"start", "--config", "f"}), "unknown argument \"start\"");
  EXPECT_EQ(usage_error({"run", "-c", "f", "--log-level", "loud"}), "--log-level: loud not in {trace,debug,info,warn,error}");
  EXPECT_EQ(usage_error({"run", "-c", "f", "--log-format", "1"}), "--log-format: 1 not in {text,json}");
}

}  // namespace
}  // namespace outboxx
