#include "base/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/unique_fd.h"

namespace outboxx {
namespace {

constexpr std::size_t kBytesMax = std::size_t{64} * 1024;

std::unexpected<Error> could_not_read(const std::string& reason) {
  return fail(ErrorCode::kConfig, "could not read the file: " + reason);
}

}  // namespace

Result<std::string> read_secret_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) {
    return could_not_read(std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return could_not_read("it is not a regular file");
  }
  std::string text(kBytesMax + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(fd.get(), text.data() + size, text.size() - size);
    if (count < 0) {
      return could_not_read(std::strerror(errno));
    }
    if (count == 0) {
      break;
    }
    size += static_cast<std::size_t>(count);
  }
  if (size > kBytesMax) {
    return could_not_read("it is larger than 64 KiB");
  }
  text.resize(size);
  while (text.ends_with('\n') || text.ends_with('\r')) {
    text.pop_back();
  }
  if (text.empty()) {
    return could_not_read("it is empty");
  }
  return text;
}

bool is_exposed(const std::string& path) {
  // systemd's copies have mode 0440 and an access control list for the unit's user alone (systemd.exec(5), LoadCredential=).
  const char* const credentials = std::getenv("CREDENTIALS_DIRECTORY");
  if (credentials != nullptr && *credentials != '\0' && path.starts_with(std::string(credentials) + "/")) {
    return false;
  }
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0;
}

}  // namespace outboxx
