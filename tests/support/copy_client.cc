// copy_client CONNINFO QUERY OID...: reads COPY (QUERY) in binary format as Outboxx does and prints the rows in the text format
// of COPY, so that a test can compare them with what the server prints. The OIDs are the types of the columns; 0 stands for a
// column that QUERY has as text. The session's settings are those that Connection pins.
#include <libpq-fe.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/wait.h"
#include "postgres/binary_text.h"
#include "postgres/connection.h"
#include "postgres/copy_binary.h"
#include "postgres/copy_testing.h"
#include "postgres/options.h"

namespace outboxx {
namespace {

constexpr std::chrono::seconds kTimeout{60};

Result<std::vector<const BinaryType*>> find_types(const std::vector<std::string>& oids, const BinaryTextFacts& facts) {
  std::vector<const BinaryType*> types;
  for (const std::string& oid : oids) {
    types.push_back(find_binary_type(static_cast<std::uint32_t>(std::stoul(oid)), facts));
    if (types.back() == nullptr && oid != "0") {
      return fail(ErrorCode::kUsage, "no binary text of type " + oid);
    }
  }
  return types;
}

Result<> copy(const std::string& conninfo, const std::string& query, const std::vector<std::string>& oids) {
  PostgresOptions options;
  options.conninfo = conninfo;
  Connection connection = TRY(Connection::open(options, ConnectionMode::kSql, {}));
  const TimePoint deadline = Clock::now() + kTimeout;
  const QueryResult zone = TRY(connection.query("SHOW TimeZone", {}, deadline, {}));
  const std::string time_zone = zone.text(0, 0);
  CopyDecoder decoder(TRY(find_types(oids, {.server_version = connection.server_version(), .time_zone = time_zone})));
  TRY(connection.query("COPY (" + query + ") TO STDOUT (FORMAT binary)", {}, deadline, {}));
  std::string line;
  char* buffer = nullptr;
  for (int length = 0; (length = PQgetCopyData(connection.raw(), &buffer, 0)) >= 0;) {
    const std::unique_ptr<char, decltype(&PQfreemem)> owner(buffer, &PQfreemem);
    if (const auto row = TRY(decoder.decode(std::string_view(buffer, static_cast<std::size_t>(length))))) {
      line.clear();
      append_copy_line(line, *row);
      std::fwrite(line.data(), 1, line.size(), stdout);
    }
  }
  return decoder.finish();
}

}  // namespace
}  // namespace outboxx

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: copy_client CONNINFO QUERY OID...\n", stderr);
    return 64;
  }
  const auto done = outboxx::copy(argv[1], argv[2], {argv + 3, argv + argc});
  if (!done) {
    std::fprintf(stderr, "copy_client: %s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}
