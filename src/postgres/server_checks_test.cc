#include "postgres/server_checks.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/lsn.h"
#include "model/stream.h"
#include "postgres/options.h"
#include "postgres/preflight.h"
#include "postgres/slot.h"
#include "postgres/table_state.h"

namespace outboxx {
namespace {

ServerState healthy_server() {
  ServerState server;
  server.version_text = "PostgreSQL 16.4 on x86_64-pc-linux-gnu, compiled by gcc";
  server.version = 160004;
  server.database = "shop";
  server.encoding = "UTF8";
  server.role = "cdc";
  server.has_replication = true;
  server.may_create_in_database = true;
  server.wal_level = "logical";
  server.slots_max = 10;
  server.wal_senders_max = 10;
  server.wal_sender_timeout = "1min";
  server.synchronous_commit = "on";
  server.application_name = "outboxx";
  server.max_slot_wal_keep_size = "100GB";
  return server;
}

// The checks that did not pass, as "name: message".
std::vector<std::string> problems(const std::vector<Check>& checks, Check::Status status) {
  std::vector<std::string> found;
  for (const Check& check : checks) {
    if (check.status == status) {
      found.push_back(check.name + ": " + check.message);
    }
  }
  return found;
}

std::vector<std::string> failures(const ServerState& server) {
  return problems(check_server(server), Check::Status::kFailed);
}
std::vector<std::string> warnings(const ServerState& server) {
  return problems(check_server(server), Check::Status::kWarned);
}

using Lines = std::vector<std::string>;

TEST(ForeignServer, KnowsServersThatOnlySpeakTheProtocol) {
  EXPECT_EQ(foreign_server("PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64"), "YugabyteDB");
  EXPECT_EQ(foreign_server("CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu)"), "CockroachDB");
  EXPECT_EQ(foreign_server("PostgreSQL 8.0.2 on i686-pc-linux-gnu, Redshift 1.0.12103"), "Amazon Redshift");
  EXPECT_EQ(foreign_server("SomethingElse 1.0"), "SomethingElse 1.0");
  EXPECT_EQ(foreign_server("PostgreSQL 18.4 (Debian 18.4-1.pgdg12+1) on x86_64-pc-linux-gnu"), std::nullopt);
}

TEST(SynchronousStandby, MatchesAsTheServerDoes) {
  EXPECT_TRUE(is_synchronous_standby("*", "outboxx"));
  EXPECT_TRUE(is_synchronous_standby("FIRST 1 (a, \"*\")", "outboxx"));
  EXPECT_TRUE(is_synchronous_standby("ANY 2 (s1,OutBoxx)", "outboxx"));
  EXPECT_TRUE(is_synchronous_standby("\"out\"\"boxx\"", "out\"boxx"));
  EXPECT_FALSE(is_synchronous_standby("", "outboxx"));
  EXPECT_FALSE(is_synchronous_standby("FIRST 1 (s1, outboxx2)", "outboxx"));
  EXPECT_FALSE(is_synchronous_standby("\"unterminated", "outboxx"));
}

TEST(CheckServer, FindsNothingOnAWellSetServer) {
  EXPECT_EQ(failures(healthy_server()), Lines{});
  EXPECT_EQ(warnings(healthy_server()), Lines{});
}

TEST(CheckServer, SaysNothingElseAboutAServerThatIsRefusedByItsVersion) {
  ServerState server = healthy_server();
  server.version = 130014;
  server.wal_level = "replica";
  EXPECT_EQ(check_server(server).size(), 1U);
  EXPECT_EQ(failures(server), Lines{"server: the server's version is 13.14, must be 14 or newer"});
}

TEST(CheckServer, RefusesWalLevelAndRole) {
  ServerState server = healthy_server();
  server.wal_level = "replica";
  server.has_replication = false;
  EXPECT_EQ(failures(server), (Lines{"wal_level: wal_level is replica, must be logical",
                                     "role: role \"cdc\" may not replicate: it has no REPLICATION attribute"}));
  server = healthy_server();
  server.has_replication = false;
  server.is_rds = true;
  EXPECT_EQ(check_server(server).at(3).hint, "Run: GRANT rds_replication TO \"cdc\";");
  server.is_rds_member = true;
  EXPECT_EQ(failures(server), Lines{});
}

TEST(CheckServer, AllowsAStandbyFromSixteenOn) {
  ServerState server = healthy_server();
  server.is_standby = true;
  EXPECT_EQ(failures(server), Lines{});
  server.version = 150020;
  EXPECT_EQ(failures(server), Lines{"primary: the server is a standby: it cannot decode before PostgreSQL 16"});
}

TEST(CheckServer, WarnsOfWhatCostsLatencyOrDisk) {
  ServerState server = healthy_server();
  server.encoding = "SQL_ASCII";
  server.synchronous_commit = "off";
  server.synchronous_standby_names = "*";
  server.max_slot_wal_keep_size = "-1";
  server.idle_replication_slot_timeout = "1h";
  EXPECT_EQ(failures(server), Lines{});
  EXPECT_EQ(warnings(server).size(), 5U);
}

TEST(CheckCapacity, AsksForASlotOnlyIfOursDoesNotExist) {
  ServerState server = healthy_server();
  server.slots_used = 10;
  EXPECT_EQ(problems(check_capacity(server, std::nullopt), Check::Status::kFailed),
            Lines{"max_replication_slots: all 10 replication slots are in use"});
  EXPECT_EQ(problems(check_capacity(server, SlotState{}), Check::Status::kFailed), Lines{});
}

// The session that has our slot gives its WAL sender back before we get one.
TEST(CheckCapacity, AsksForAWalSenderOnlyIfOurSlotIsFree) {
  ServerState server = healthy_server();
  server.wal_senders_used = 10;
  SlotState slot;
  EXPECT_EQ(problems(check_capacity(server, slot), Check::Status::kFailed),
            Lines{"max_wal_senders: all 10 WAL senders are in use"});
  slot.is_active = true;
  EXPECT_EQ(problems(check_capacity(server, slot), Check::Status::kFailed), Lines{});
}

// After a restart of the server all that replicates comes back at once, and a base backup ends.
TEST(CheckCapacity, WalSendersThatAreAllInUseMayPass) {
  ServerState server = healthy_server();
  server.wal_senders_used = 10;
  std::vector<Check> checks = check_capacity(server, SlotState{});
  EXPECT_EQ(require(checks, log::Level::kDebug).error().code, ErrorCode::kPostgresUnreachable);
  checks.push_back(failed_check("table", "it does not exist", ""));
  EXPECT_EQ(require(checks, log::Level::kDebug).error().code, ErrorCode::kPostgresMisconfigured);
}

class AbsentPublication : public testing::Test {
 protected:
  Check check(const std::optional<SlotState>& slot = std::nullopt) {
    return check_absent_publication(server, options, slot, streams, tables);
  }

  ServerState server = healthy_server();
  PostgresOptions options{.conninfo = "", .connection_env = "", .slot_name = "cdc", .publication_name = "pub"};
  std::vector<StreamConfig> streams{{.name = "orders",
                                     .schema = "public",
                                     .table = "orders",
                                     .operations = {.insert = true, .update = true, .remove = true, .read = false},
                                     .topic = "orders",
                                     .routing_key = "id"}};
  std::vector<TableState> tables = [] {
    TableState table;
    table.schema = "public";
    table.table = "orders";
    table.owner = "app";
    table.is_owned = true;
    return std::vector{table};
  }();
};

constexpr const char* kStatement =
    R"(CREATE PUBLICATION "pub" FOR TABLE ONLY "public"."orders" WITH (publish = 'insert, update, delete');)";

TEST_F(AbsentPublication, WillBeCreated) {
  EXPECT_EQ(check().status, Check::Status::kPassed);
  EXPECT_EQ(check().message, std::string("publication \"pub\" will be created: ") + kStatement);
}

TEST_F(AbsentPublication, NeedsItsRights) {
  server.may_create_in_database = false;
  tables[0].is_owned = false;
  EXPECT_EQ(check().status, Check::Status::kFailed);
  EXPECT_EQ(check().message,
            "role \"cdc\" may not create publication \"pub\": it lacks CREATE on database \"shop\", table \"public.orders\" "
            "belongs to \"app\"");
  EXPECT_TRUE(check().hint.contains(kStatement)) << check().hint;
}

TEST_F(AbsentPublication, IsAFaultWhenItMustExistOrCannotBeMade) {
  options.publication_mode = PublicationMode::kExisting;
  EXPECT_EQ(check().status, Check::Status::kFailed);
  EXPECT_EQ(check().hint, std::string("Run: ") + kStatement);
  options.publication_mode = PublicationMode::kCreate;
  server.is_standby = true;
  EXPECT_EQ(check().status, Check::Status::kFailed);
}

// It would be created, and the partition's stream would get nothing.
TEST_F(AbsentPublication, IsNotCreatedForATableAndItsPartition) {
  tables[0].oid = 1;
  tables.push_back(tables[0]);
  tables[1].table = "orders_low";
  tables[1].oid = 3;
  tables[1].ancestors = {2, 1};
  EXPECT_EQ(check().status, Check::Status::kFailed);
  EXPECT_EQ(check().message,
            "table \"public.orders_low\" is a partition of \"public.orders\", and both have streams: in one publication its "
            "changes come under the name of \"public.orders\" alone");
  tables[1].ancestors = {2};
  EXPECT_EQ(check().status, Check::Status::kPassed);
}

// Servers before 18 fail for ever on changes older than the publication; 18 skips them with a mere warning.
TEST_F(AbsentPublication, IsNotCreatedBehindAnExistingSlot) {
  SlotState slot;
  slot.confirmed_flush_lsn = Lsn{0x1234};
  EXPECT_EQ(check(slot).status, Check::Status::kFailed);
  EXPECT_TRUE(check(slot).message.contains("changes since 0/1234 cannot be decoded")) << check(slot).message;
}

TEST(CheckExistingSlot, CarriesTheCodeOfARefusedSlot) {
  SlotState slot;
  slot.slot_type = "physical";
  EXPECT_EQ(check_existing_slot(slot, "s").status, Check::Status::kFailed);
  EXPECT_EQ(check_existing_slot(slot, "s").code, ErrorCode::kSlot);
}

}  // namespace
}  // namespace outboxx
