#include "base/secret_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "base/error.h"

namespace outboxx {
namespace {

class SecretFile : public testing::Test {
 protected:
  ~SecretFile() override { std::remove(path.c_str()); }
  void write(const std::string& text) const { std::ofstream(path, std::ios::binary) << text; }
  [[nodiscard]] std::string failure() const {
    const auto text = read_secret_file(path);
    EXPECT_FALSE(text);
    EXPECT_TRUE(text || text.error().code == ErrorCode::kConfig);
    return text ? "" : text.error().message;
  }

  std::string path = testing::TempDir() + "outboxx-secret-" + std::to_string(::getpid());
};

TEST_F(SecretFile, IsReadWithoutItsLineEndAndAnewEachTime) {
  write(" pass word \n");
  EXPECT_EQ(read_secret_file(path).value_or("none"), " pass word ");
  write("another");
  EXPECT_EQ(read_secret_file(path).value_or("none"), "another");
}

TEST_F(SecretFile, RefusesWhatIsNoSecret) {
  EXPECT_EQ(failure(), "could not read the file: No such file or directory");
  write("\n");
  EXPECT_EQ(failure(), "could not read the file: it is empty");
  write(std::string(65'537, 'x'));
  EXPECT_EQ(failure(), "could not read the file: it is larger than 64 KiB");
  EXPECT_FALSE(read_secret_file(testing::TempDir()));
  EXPECT_FALSE(read_secret_file("/dev/zero"));
}

TEST_F(SecretFile, IsExposedIfOthersMayReadIt) {
  write("x");
  ::chmod(path.c_str(), 0600);
  EXPECT_FALSE(is_exposed(path));
  ::chmod(path.c_str(), 0400);
  EXPECT_FALSE(is_exposed(path));
  ::chmod(path.c_str(), 0640);
  EXPECT_TRUE(is_exposed(path));
}

TEST_F(SecretFile, IsNotExposedIfItIsACopyOfSystemds) {
  write("x");
  ::chmod(path.c_str(), 0440);
  ::setenv("CREDENTIALS_DIRECTORY", path.substr(0, path.rfind('/')).c_str(), 1);
  EXPECT_FALSE(is_exposed(path));
  ::setenv("CREDENTIALS_DIRECTORY", "/run/credentials/other.service", 1);
  EXPECT_TRUE(is_exposed(path));
  ::unsetenv("CREDENTIALS_DIRECTORY");
}

}  // namespace
}  // namespace outboxx
