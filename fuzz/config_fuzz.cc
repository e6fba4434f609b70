// Fuzz target: any text is a configuration or a kConfig error with a message, never a crash.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "config.h"

// The name is libFuzzer's. NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = outboxx::parse_config(text, "fuzz.toml");
  if (!config) {
    CHECK(config.error().code == outboxx::ErrorCode::kConfig);
    CHECK(config.error().message.starts_with("fuzz.toml:"));
    CHECK(!config.error().hint.empty());
  } else {
    CHECK(!config->streams.empty());
    CHECK(!config->postgres.conninfo.empty());
  }
  return 0;
}
