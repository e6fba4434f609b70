#include "sink/state_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"
#include "model/state_record.h"

namespace outboxx {
namespace {

std::unexpected<Error> file_error(const char* what, const std::string& path) {
  return fail(ErrorCode::kState, std::string("could not ") + what + " state file \"" + path + "\": " + std::strerror(errno),
              "Check the path of file in [state], and the rights on its folder.");
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno != EINTR) {
      return false;
    }
    text.remove_prefix(count < 0 ? 0 : static_cast<std::size_t>(count));
  }
  return true;
}

// Or a little beyond what a record may have, so that a larger one is not taken for whole.
bool read_to_end(int fd, std::string& text) {
  std::array<char, 65536> buffer{};
  while (text.size() <= kStateRecordBytesMax) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno != EINTR) {
      return false;
    }
    if (count == 0) {
      break;
    }
    text.append(buffer.data(), count < 0 ? 0 : static_cast<std::size_t>(count));
  }
  return true;
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

}  // namespace

Result<std::optional<std::string>> read_state_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) {
    return std::nullopt;
  }
  std::string text;
  if (!fd || !read_to_end(fd.get(), text)) {
    return file_error("read", path);
  }
  return text;
}

Result<> write_state_file(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".new";
  const UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd || !write_all(fd.get(), text) || !write_all(fd.get(), "\n") || ::fsync(fd.get()) != 0 ||
      std::rename(temporary.c_str(), path.c_str()) != 0) {
    return file_error("write", path);
  }
  const UniqueFd folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) {
    return file_error("write", path);
  }
  return {};
}

}  // namespace outboxx
