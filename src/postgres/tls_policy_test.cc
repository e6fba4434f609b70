#include "postgres/tls_policy.h"

#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT: setenv is POSIX

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>

#include "base/error.h"
#include "postgres/conninfo.h"
#include "postgres/options.h"
#include "postgres/preflight.h"

namespace outboxx {
namespace {

class TlsPolicyTest : public testing::Test {
 protected:
  TlsPolicyTest() { clear(); }
  ~TlsPolicyTest() override { clear(); }

  static Result<Conninfo> read(const std::string& conninfo, bool insecure = false) {
    PostgresOptions options;
    options.conninfo = conninfo;
    options.connection_env = "DATABASE_URL";
    options.insecure = insecure;
    return read_conninfo(options, ConnectionMode::kReplication);
  }
  static std::string mode(const std::string& conninfo, bool insecure = false) {
    const auto result = read(conninfo, insecure);
    return result ? result->parameters.at("sslmode") : "refused: " + result.error().message;
  }

 private:
  static void clear() {
    for (const char* variable : {"PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGREQUIRESSL", "PGSERVICE", "PGSERVICEFILE"}) {
      ::unsetenv(variable);
    }
  }
};

TEST_F(TlsPolicyTest, KnowsWhatIsLocal) {
  for (const char* host : {"", "/run/postgresql", "@abstract", "localhost", "127.0.0.1", "127.8.9.10", "::1"}) {
    EXPECT_TRUE(is_local({.host = host, .hostaddr = "", .port = ""})) << host;
  }
  for (const char* host : {"db", "10.0.0.1", "128.0.0.1", "::2", "fe80::1", "127.0.0.1.example.com", "localhost.example.com"}) {
    EXPECT_FALSE(is_local({.host = host, .hostaddr = "", .port = ""})) << host;
  }
  EXPECT_TRUE(is_local({.host = "db", .hostaddr = "127.0.0.1", .port = ""})) << "the end of a tunnel";
  EXPECT_FALSE(is_local({.host = "localhost", .hostaddr = "10.0.0.1", .port = ""}));
}

TEST_F(TlsPolicyTest, VerifiesByDefaultWhatIsNotLocal) {
  EXPECT_EQ(mode("host=db"), "verify-full");
  EXPECT_EQ(mode("postgresql://u@10.0.0.1/shop"), "verify-full");
  EXPECT_EQ(mode("host=localhost"), "prefer");
  EXPECT_EQ(mode("host=/run/postgresql"), "prefer");
}

TEST_F(TlsPolicyTest, JudgesTheWholeList) {
  EXPECT_EQ(mode("host=localhost,db"), "verify-full");
  EXPECT_EQ(mode("host=localhost,127.0.0.1"), "prefer");
  EXPECT_TRUE(mode("host=localhost,db sslmode=prefer").starts_with("refused: ")) << mode("host=localhost,db sslmode=prefer");
}

TEST_F(TlsPolicyTest, TakesTheModesThatEncrypt) {
  for (const char* chosen : {"require", "verify-ca", "verify-full"}) {
    EXPECT_EQ(mode(std::string("host=db sslmode=") + chosen), chosen);
  }
}

TEST_F(TlsPolicyTest, RefusesTheModesThatMayNotEncryptAndNamesTheKey) {
  for (const std::string chosen : {"disable", "allow", "prefer"}) {
    const auto result = read("host=db sslmode=" + chosen);
    ASSERT_FALSE(result) << chosen;
    EXPECT_EQ(result.error().code, ErrorCode::kConfig);
    EXPECT_EQ(result.error().message, "source.postgres.insecure: must be true for sslmode=" + chosen +
                                          " with server \"db\", which is not this machine");
    EXPECT_EQ(mode("host=localhost sslmode=" + chosen), chosen);
    EXPECT_EQ(mode("host=db sslmode=" + chosen, true), chosen);
  }
}

TEST_F(TlsPolicyTest, TheHintNamesWhereTheConnectionStringIs) {
  EXPECT_TRUE(read("host=db sslmode=disable").error().hint.contains("string in environment variable \"DATABASE_URL\"."));
  PostgresOptions options;
  options.connection_file = "/run/secrets/database";
  Conninfo conninfo{.parameters = {{"sslmode", "disable"}}, .servers = {{.host = "db", .hostaddr = "", .port = ""}}};
  const auto refused = apply_tls_policy(conninfo, true, options);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().hint.contains("string in file \"/run/secrets/database\".")) << refused.error().hint;
}

TEST_F(TlsPolicyTest, InsecureLeavesLibpqsDefault) {
  EXPECT_EQ(mode("host=db", true), "prefer");
  EXPECT_EQ(mode("host=db sslmode=verify-full", true), "verify-full");
}

TEST_F(TlsPolicyTest, TheEnvironmentSpellsAModeOutToo) {
  ::setenv("PGSSLMODE", "verify-ca", 1);
  EXPECT_EQ(mode("host=db"), "verify-ca");
  ::setenv("PGSSLMODE", "prefer", 1);
  EXPECT_TRUE(mode("host=db").starts_with("refused: "));
  EXPECT_EQ(mode("host=db sslmode=require"), "require");
}

TEST_F(TlsPolicyTest, TheServiceFileSpellsAModeOutToo) {
  const std::string path = testing::TempDir() + "outboxx_tls_policy_test_service.conf";
  std::ofstream(path) << "[strict]\nhost=db\nsslmode=verify-ca\n[lax]\nhost=db\nsslmode=disable\n[silent]\nhost=db\n";
  ::setenv("PGSERVICEFILE", path.c_str(), 1);
  EXPECT_EQ(mode("service=strict"), "verify-ca");
  EXPECT_TRUE(mode("service=lax").starts_with("refused: "));
  EXPECT_EQ(mode("service=silent"), "verify-full");
  std::remove(path.c_str());
}

TEST_F(TlsPolicyTest, WarnsOfWhatInsecureLetThrough) {
  const Check warned = check_tls(read("host=localhost,db", true).value());
  EXPECT_EQ(warned.status, Check::Status::kWarned);
  EXPECT_EQ(warned.message,
            "the connection to server \"db\" may be unencrypted, and its certificate is not verified: sslmode=prefer");
  EXPECT_EQ(check_tls(read("host=db").value()).status, Check::Status::kPassed);
  EXPECT_EQ(check_tls(read("host=localhost").value()).status, Check::Status::kPassed);
}

}  // namespace
}  // namespace outboxx
