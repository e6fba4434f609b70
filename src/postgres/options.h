// PostgresOptions: the [source.postgres] part of the configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace outboxx {

enum class PublicationMode : std::uint8_t {
  kCreate,    // created for the streams' tables if it does not exist; used as it is if it does
  kExisting,  // must exist
};

enum class SnapshotMode : std::uint8_t {
  kInitial,  // with a slot that is made, then stream; interrupted, it is resumed
  kOnly,     // read the tables once and end
  kNever,
};

// [source.postgres.snapshot]: of the tables of streams that list "read".
struct SnapshotOptions {
  SnapshotMode mode = SnapshotMode::kInitial;
  int connections = 2;
  // Of a table with its TOAST, about: what is read at a time, and again after a crash.
  std::uint64_t chunk_bytes = std::uint64_t{8} * 1024 * 1024;
};

struct PostgresOptions {
  std::string conninfo;           // secret (may hold a password): libpq key=value string or URI, as it was at the start
  std::string connection_env;     // the variable's name, for messages; empty if it came from a file
  std::string connection_file{};  // read again for each connection; empty if it came from a variable
  std::string slot_name;
  std::string publication_name;
  PublicationMode publication_mode = PublicationMode::kCreate;
  bool pin_time_zone = true;  // session TimeZone = UTC; v0 files keep the server's
  bool insecure = false;      // servers on other machines may be reached without TLS; v0 files: true
  std::chrono::milliseconds connect_timeout{10'000};
  SnapshotOptions snapshot{};

  // For messages: environment variable "X".
  [[nodiscard]] std::string connection_source() const {
    return connection_file.empty() ? "environment variable \"" + connection_env + "\"" : "file \"" + connection_file + "\"";
  }
};

}  // namespace outboxx
