#include "postgres/conninfo.h"

#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT: setenv is POSIX

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "postgres/connection.h"
#include "postgres/options.h"

namespace outboxx {
namespace {

const char* const kVariables[] = {"PGHOST",    "PGHOSTADDR",    "PGPORT",     "PGUSER",    "PGDATABASE", "PGOPTIONS",
                                  "PGSERVICE", "PGSERVICEFILE", "PGPASSWORD", "PGSSLMODE", "PGAPPNAME",  "PGSYSCONFDIR"};

class ConninfoTest : public testing::Test {
 protected:
  ConninfoTest() {
    for (const char* variable : kVariables) {
      ::unsetenv(variable);
    }
  }
  ~ConninfoTest() override {
    for (const char* variable : kVariables) {
      ::unsetenv(variable);
    }
  }
  static PostgresOptions options_for(const std::string& conninfo) {
    PostgresOptions options;
    options.conninfo = conninfo;
    options.connection_env = "DATABASE_URL";
    return options;
  }
  static Conninfo read(const std::string& conninfo, ConnectionMode mode = ConnectionMode::kSql) {
    auto result = read_conninfo(options_for(conninfo), mode);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result.value();
  }
};

using Servers = std::vector<ServerAddress>;

TEST_F(ConninfoTest, TakesServersApart) {
  EXPECT_EQ(read("host=a,b,/run/pg port=1,2,3 hostaddr=,10.0.0.2,").servers,
            (Servers{{"a", "", "1"}, {"b", "10.0.0.2", "2"}, {"/run/pg", "", "3"}}));
  EXPECT_EQ(read("postgresql://u@a,b:5433/db").servers, (Servers{{"a", "", ""}, {"b", "", "5433"}}));
  EXPECT_EQ(read("host=a,b port=6000").servers, (Servers{{"a", "", "6000"}, {"b", "", "6000"}}));
}

TEST_F(ConninfoTest, MergesTheEnvironmentAndTheStringWins) {
  ::setenv("PGHOST", "from-env", 1);
  ::setenv("PGPORT", "7777", 1);
  ::setenv("PGDATABASE", "db-from-env", 1);
  const Conninfo conninfo = read("dbname=mine user=u");
  EXPECT_EQ(conninfo.servers, (Servers{{"from-env", "", "7777"}}));
  EXPECT_EQ(conninfo.parameters.at("dbname"), "mine");
}

TEST_F(ConninfoTest, MergesTheServiceThatTheStringNames) {
  const std::string path = testing::TempDir() + "outboxx_conninfo_test_service.conf";
  std::ofstream(path) << "[shop]\nhost=from-service\nport=6543\noptions=-c work_mem=1MB\n";
  ::setenv("PGSERVICEFILE", path.c_str(), 1);
  const Conninfo conninfo = read("service=shop user=u");
  std::remove(path.c_str());
  EXPECT_EQ(conninfo.servers, (Servers{{"from-service", "", "6543"}}));
  EXPECT_TRUE(conninfo.parameters.at("options").starts_with("-c work_mem=1MB -c datestyle=ISO "));
  EXPECT_FALSE(conninfo.parameters.contains("service"));
}

TEST_F(ConninfoTest, OursComeLastInTheOptionsSoThatTheyWin) {
  EXPECT_EQ(read("host=a options='-c datestyle=German'").parameters.at("options"),
            "-c datestyle=German -c datestyle=ISO -c intervalstyle=postgres -c bytea_output=hex -c extra_float_digits=3 -c "
            "statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0 -c "
            "client_min_messages=warning -c timezone=UTC -c search_path=pg_catalog");
}

TEST_F(ConninfoTest, LeavesTheTimeZoneIfAsked) {
  PostgresOptions options = options_for("host=a");
  options.pin_time_zone = false;
  EXPECT_FALSE(read_conninfo(options, ConnectionMode::kSql).value().parameters.at("options").contains("timezone"));
}

TEST_F(ConninfoTest, ReplicationIsOursToSay) {
  const Conninfo sql = read("host=a replication=true");
  EXPECT_FALSE(sql.parameters.contains("replication"));
  const Conninfo replication = read("host=a replication=off", ConnectionMode::kReplication);
  EXPECT_EQ(replication.parameters.at("replication"), "database");
  EXPECT_FALSE(replication.parameters.at("options").contains("search_path"));
}

TEST_F(ConninfoTest, OverridesEncodingAndGssAndKeepsTheUsersTimeouts) {
  const Conninfo conninfo =
      read("host=a client_encoding=LATIN1 gssencmode=require connect_timeout=99 tcp_user_timeout=5 application_name=x");
  EXPECT_EQ(conninfo.parameters.at("client_encoding"), "UTF8");
  EXPECT_EQ(conninfo.parameters.at("gssencmode"), "disable");
  EXPECT_FALSE(conninfo.parameters.contains("connect_timeout"));
  EXPECT_EQ(conninfo.parameters.at("tcp_user_timeout"), "5");
  EXPECT_EQ(conninfo.parameters.at("application_name"), "x");
  EXPECT_EQ(read("host=a").parameters.at("tcp_user_timeout"), "20000");
  EXPECT_EQ(read("host=a").parameters.at("fallback_application_name"), "outboxx");
}

// Whatever part of a password a malformed string puts elsewhere, libpq quotes it.
TEST_F(ConninfoTest, ErrorsNeverShowAPieceOfTheString) {
  const std::vector<std::string> malformed = {
      "host=a password=my hunter2 dbname=d",
      "host=a password='hunter2",
      "host=a password=x hunter2",
      "postgresql://u:p%zzhunter2@a/d",
      "postgresql://u:p%hunter2@a/d",
      "postgresql://u:x@hunter2@a/d",
      "postgresql://u:x/hunter2@a/d",
      "postgresql://u:x@[hunter2/d",
      "host=a sslmode=hunter2",
      "host=a channel_binding=hunter2",
      "service=hunter2",
      "host=a,b port=1,2,3 password=hunter2",
      "hunter2=1",
      "hunter2",
  };
  for (const std::string& text : malformed) {
    const auto result = read_conninfo(options_for(text), ConnectionMode::kSql);
    ASSERT_FALSE(result.has_value()) << text;
    EXPECT_EQ(result.error().code, ErrorCode::kConfig) << text;
    EXPECT_FALSE(result.error().message.contains("hunter2")) << result.error().message;
    EXPECT_FALSE(result.error().hint.contains("hunter2")) << result.error().hint;
    EXPECT_TRUE(result.error().message.contains("\"DATABASE_URL\"")) << result.error().message;
  }
}

TEST_F(ConninfoTest, ErrorsKeepWhatIsNoValue) {
  const auto result = read_conninfo(options_for("host=a sslmode=hunter2"), ConnectionMode::kSql);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message,
            "cannot use the connection string in environment variable \"DATABASE_URL\": invalid sslmode value: \"...\"");
  EXPECT_EQ(
      connection_string_error(options_for(""), "invalid integer value \"x\" for connection option \"keepalives\"\n").message,
      "cannot use the connection string in environment variable \"DATABASE_URL\": invalid integer value \"...\" for "
      "connection option \"keepalives\"");
}

TEST_F(ConninfoTest, ADatabaseNameWithAnAtSignIsFineInKeywordForm) {
  EXPECT_EQ(read("host=a dbname=x@y").parameters.at("dbname"), "x@y");
}

}  // namespace
}  // namespace outboxx
