// What the tests of the configuration share: a smallest file to vary, and its faults.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "config.h"

namespace outboxx {

inline constexpr std::string_view kConninfo = "host=db password=xyzzy-conninfo";
inline constexpr std::string_view kPassword = "xyzzy-password";

inline std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// path is from the golden directory.
inline std::string read_text(const std::string& path) {
  std::ifstream file(std::string(OUTBOXX_GOLDEN_DIR) + "/" + path);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The smallest file; each part can be replaced. The parts' first lines are 1, 3, 5, 9, 11, 13.
struct ConfigFile {
  std::string metadata = "[metadata]\nversion = \"v1\"\n";
  std::string source = "[source]\ntype = \"postgres\"\n";
  std::string postgres = "[source.postgres]\nconnection_env = \"TEST_DATABASE\"\nslot_name = \"s\"\npublication_name = \"p\"\n";
  std::string sink = "[sink]\ntype = \"kafka\"\n";
  std::string kafka = "[sink.kafka]\nbrokers = [\"b:9092\"]\n";
  std::string streams =
      "[[streams]]\nname = \"a\"\n[streams.source]\nresource = \"t\"\noperations = [\"insert\"]\n[streams.flow]\nformat = "
      "\"json\"\n[streams.sink]\ndestination = \"topic\"\n";

  [[nodiscard]] std::string str() const { return metadata + source + postgres + sink + kafka + streams; }
};

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    setenv("TEST_DATABASE", std::string(kConninfo).c_str(), 1);
    setenv("TEST_PASSWORD", std::string(kPassword).c_str(), 1);
    setenv("TEST_EMPTY", "", 1);
    unsetenv("TEST_ABSENT");
  }

  static Config parse(const std::string& text) {
    auto config = parse_config(text, "f");
    EXPECT_TRUE(config) << config.error().message;
    return config ? *std::move(config) : Config{};
  }

  static std::string message_of(const std::string& text) {
    const auto config = parse_config(text, "f");
    EXPECT_FALSE(config);
    if (config) {
      return {};
    }
    EXPECT_EQ(config.error().code, ErrorCode::kConfig);
    EXPECT_EQ(config.error().message.find("xyzzy"), std::string::npos) << "secret in: " << config.error().message;
    return config.error().message;
  }

  // A value for a key that the smallest file has, or the whole line for one it has not.
  static std::string message_with_postgres(const std::string& line) {
    ConfigFile text;
    text.postgres += line + "\n";
    return message_of(text.str());
  }
  static std::string message_with_kafka(const std::string& line) {
    ConfigFile text;
    text.kafka += line + "\n";
    return message_of(text.str());
  }
  static std::string message_instead_of(const std::string& old_line, const std::string& line) {
    const std::string text = ConfigFile().str();
    EXPECT_NE(text.find(old_line), std::string::npos) << old_line;
    return message_of(replace_all(text, old_line, line));
  }
};

}  // namespace outboxx
