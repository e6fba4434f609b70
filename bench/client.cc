// bench_client: the small things that the benchmark sets beside Outboxx.
//
//   bench_client naive CONNINFO SLOT PUBLICATION END_LSN
//       Reads the slot and throws everything away, as a first program would: one wake-up for each thing that the kernel has, no
//       low-water mark. Ends when the server has sent all up to END_LSN (X/Y), and prints what it took as one JSON object.
//   bench_client lines COUNT
//       Reads standard input and ends after COUNT lines.
#include <libpq-fe.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;

// Streaming replication protocol: 'w' start, end, time, data; 'k' end, time, reply requested; 'r' written, flushed, applied,
// time, reply requested. Positions and times are 64 bits in network order.
constexpr std::size_t kKeepaliveBytes = 18;
constexpr std::size_t kStatusBytes = 34;

struct Counts {
  std::uint64_t wake_ups = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
};

[[noreturn]] void stop(const std::string& message) {
  std::fprintf(stderr, "bench_client: %s\n", message.c_str());
  std::exit(1);
}

std::uint64_t parse_lsn(const char* text) {
  unsigned high = 0;
  unsigned low = 0;
  if (std::sscanf(text, "%X/%X", &high, &low) != 2) {
    stop(std::string("not a position: ") + text);
  }
  return std::uint64_t{high} << 32 | low;
}

std::uint64_t read_uint64(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes.substr(0, 8)) {
    value = value << 8 | static_cast<unsigned char>(byte);
  }
  return value;
}

// Nothing is confirmed (position 0 says so): the next run reads the same bytes.
void answer_keepalive(PGconn* connection) {
  std::array<char, kStatusBytes> status{};
  status[0] = 'r';
  if (PQputCopyData(connection, status.data(), static_cast<int>(status.size())) != 1 || PQflush(connection) < 0) {
    stop(PQerrorMessage(connection));
  }
}

Connection start(const char* conninfo, const std::string& slot, const std::string& publication) {
  Connection connection(PQconnectdb((std::string(conninfo) + " replication=database").c_str()), &PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    stop(PQerrorMessage(connection.get()));
  }
  const std::string command =
      "START_REPLICATION SLOT " + slot + " LOGICAL 0/0 (proto_version '1', publication_names '" + publication + "')";
  PGresult* result = PQexec(connection.get(), command.c_str());
  if (PQresultStatus(result) != PGRES_COPY_BOTH) {
    stop(PQerrorMessage(connection.get()));
  }
  PQclear(result);
  return connection;
}

// Whether this message tells that everything up to end was sent.
bool take(PGconn* connection, std::string_view message, std::uint64_t end, Counts& counts) {
  ++counts.messages;
  counts.bytes += message.size();
  if (message.size() < kKeepaliveBytes || message.front() != 'k') {
    return false;
  }
  if (message[kKeepaliveBytes - 1] != 0) {
    answer_keepalive(connection);
  }
  return read_uint64(message.substr(1)) >= end;
}

// Takes what libpq holds. Whether the end was reached.
bool take_all(PGconn* connection, std::uint64_t end, Counts& counts) {
  for (;;) {
    char* message = nullptr;
    const int length = PQgetCopyData(connection, &message, 1);
    if (length == 0) {
      return false;
    }
    if (length < 0) {
      stop(std::string("the stream ended: ") + PQerrorMessage(connection));
    }
    const std::unique_ptr<char, decltype(&PQfreemem)> owned(message, &PQfreemem);
    if (take(connection, {message, static_cast<std::size_t>(length)}, end, counts)) {
      return true;
    }
  }
}

void run_naive(char** arguments) {
  const Connection connection = start(arguments[0], arguments[1], arguments[2]);
  const std::uint64_t end = parse_lsn(arguments[3]);
  Counts counts;
  pollfd wait{.fd = PQsocket(connection.get()), .events = POLLIN, .revents = 0};
  while (!take_all(connection.get(), end, counts)) {
    ::poll(&wait, 1, -1);
    ++counts.wake_ups;
    if (PQconsumeInput(connection.get()) == 0) {
      stop(PQerrorMessage(connection.get()));
    }
  }
  std::printf("{\"wake_ups\": %llu, \"messages\": %llu, \"bytes\": %llu}\n", static_cast<unsigned long long>(counts.wake_ups),
              static_cast<unsigned long long>(counts.messages), static_cast<unsigned long long>(counts.bytes));
}

void run_lines(const char* text) {
  const auto wanted = std::strtoll(text, nullptr, 10);
  std::vector<char> buffer(1 << 20);
  long long seen = 0;
  while (seen < wanted) {
    const ssize_t length = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (length <= 0) {
      stop("the input ended after " + std::to_string(seen) + " lines");
    }
    seen += std::count(buffer.begin(), buffer.begin() + length, '\n');
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "naive" && argc == 6) {
    run_naive(argv + 2);
  } else if (mode == "lines" && argc == 3) {
    run_lines(argv[2]);
  } else {
    std::fprintf(stderr, "usage: bench_client naive CONNINFO SLOT PUBLICATION END_LSN | lines COUNT\n");
    return 64;
  }
  return 0;
}
