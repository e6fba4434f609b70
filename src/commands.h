// The subcommands: what "outboxx run", "check", "slot" and "version" do.
#pragma once

#include <string>

#include "base/error.h"
#include "config.h"

namespace outboxx {

// Streams until SIGTERM or SIGINT. kInterrupted: a snapshot that is read alone was stopped before its end. wait: for servers
// that cannot be reached at the start, in place of giving up.
[[nodiscard]] Result<> run_pipeline(const Config& config, bool wait);

// Checks the configuration, PostgreSQL and the sink, and changes nothing; prints each check on standard output, as text or as
// one JSON object. The error has the code of the first failed check; its message is a summary.
[[nodiscard]] Result<> run_check(const std::string& config_path, bool json);

// Prints the slot's state.
[[nodiscard]] Result<> show_slot(const Config& config);

// Retires a pipeline. confirm must be the slot's name: without the slot the server forgets what was not streamed.
[[nodiscard]] Result<> drop_slot(const Config& config, const std::string& confirm);

// What the process ends with: the value of the code, and 128+N, as shells have it, after signal N interrupted a command.
[[nodiscard]] int exit_code(ErrorCode code);

// "outboxx 1.0.0" and the linked libraries, one a line.
[[nodiscard]] std::string version_text();

}  // namespace outboxx
