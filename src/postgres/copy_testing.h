// For tests, fuzz targets and benchmarks: captured messages of binary COPY, and rows as the server prints them in COPY's text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "model/change.h"
#include "postgres/binary_text.h"

namespace outboxx {

struct CopyCapture {
  std::string name;
  std::vector<std::uint32_t> type_oids;
  std::vector<std::string> messages;
  std::string text;  // what the server prints

  // As Connection pins the session; of the version that made the captures.
  [[nodiscard]] std::vector<const BinaryType*> types() const {
    std::vector<const BinaryType*> found;
    found.reserve(type_oids.size());
    for (const std::uint32_t oid : type_oids) {
      found.push_back(find_binary_type(oid, {.server_version = 180000, .time_zone = "UTC"}));
    }
    return found;
  }
};

[[nodiscard]] inline std::string read_whole_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// NAME.capture and NAME.txt of tests/golden/copy_binary, as capture.py writes them there.
[[nodiscard]] inline CopyCapture read_copy_capture(const std::filesystem::path& path) {
  CopyCapture capture{.name = path.stem().string(), .type_oids = {}, .messages = {}, .text = {}};
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("types")) {
      std::istringstream oids(line.substr(5));
      for (std::uint32_t oid = 0; oids >> oid;) {
        capture.type_oids.push_back(oid);
      }
    } else if (!line.starts_with('#')) {
      std::string& message = capture.messages.emplace_back();
      for (std::size_t index = 0; index + 1 < line.size(); index += 2) {
        message.push_back(static_cast<char>(std::strtoul(line.substr(index, 2).c_str(), nullptr, 16)));
      }
    }
  }
  capture.text = read_whole_file(std::filesystem::path(path).replace_extension(".txt"));
  return capture;
}

[[nodiscard]] inline std::vector<CopyCapture> read_copy_captures(const std::filesystem::path& folder) {
  std::vector<CopyCapture> captures;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".capture") {
      captures.push_back(read_copy_capture(entry.path()));
    }
  }
  std::ranges::sort(captures, {}, &CopyCapture::name);
  return captures;
}

// One line of COPY's text format (PostgreSQL documentation, COPY, "Text Format").
inline void append_copy_line(std::string& out, Tuple row) {
  constexpr std::string_view kSpecial = "\\\b\f\n\r\t\v";
  constexpr std::string_view kLetters = "\\bfnrtv";
  for (const Value& value : row) {
    out.append(&value == row.data() ? 0 : 1, '\t');
    if (value.kind == ValueKind::kNull) {
      out += "\\N";
    }
    for (const char character : value.bytes) {
      const std::size_t found = kSpecial.find(character);
      const bool is_special = found != std::string_view::npos;
      out.append(is_special ? 1 : 0, '\\');
      out += is_special ? kLetters[found] : character;
    }
  }
  out += '\n';
}

}  // namespace outboxx
