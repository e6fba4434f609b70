// Secret files: a password or connection string that is read again whenever it is needed, so that it can be changed while the
// process runs.
#pragma once

#include <string>

#include "base/error.h"

namespace outboxx {

// The text of a regular file of 1 byte to 64 KiB, without the line end at its end. kConfig; the message has neither the path
// (a secret may stand in its place by mistake) nor the text. Never waits: pipes and devices are refused.
[[nodiscard]] Result<std::string> read_secret_file(const std::string& path);

// Whether others than its owner may read or write the file.
[[nodiscard]] bool is_exposed(const std::string& path);

}  // namespace outboxx
