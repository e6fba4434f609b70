#include "postgres/server_error.h"

#include <gtest/gtest.h>

#include <string_view>

#include "base/error.h"

namespace outboxx {
namespace {

Error connect_error(std::string_view text, bool answered = true) {
  return error_of_connect({.text = text,
                           .answered = answered,
                           .user = "bob",
                           .database = "shop",
                           .connection_source = "environment variable \"DATABASE_URL\""});
}

TEST(CodeOfSqlstate, TellsWhatPassesFromWhatStays) {
  for (const char* passing : {"08006", "08P01", "40001", "53300", "55006", "57014", "57P01", "57P03", "58030", "XX000"}) {
    EXPECT_EQ(code_of_sqlstate(passing), ErrorCode::kPostgresUnreachable) << passing;
  }
  for (const char* lasting : {"22021", "28000", "28P01", "3D000", "42501", "42704", "55000"}) {
    EXPECT_EQ(code_of_sqlstate(lasting), ErrorCode::kPostgresMisconfigured) << lasting;
  }
}

TEST(ErrorOfConnect, TakesTheSqlstateOutOfTheVerboseText) {
  const Error error = connect_error(
      "connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  28P01: password authentication failed for user "
      "\"bob\"\nLOCATION:  auth_failed, auth.c:335\n");
  EXPECT_EQ(error.code, ErrorCode::kPostgresMisconfigured);
  EXPECT_EQ(error.sqlstate, "28P01");
  EXPECT_EQ(error.message,
            "connection to server at \"10.0.0.1\", port 5432 failed: FATAL: password authentication failed for user \"bob\"");
  EXPECT_EQ(error.hint, "Check the user and the password of the connection string in environment variable \"DATABASE_URL\".");
}

TEST(ErrorOfConnect, DoesNotNeedEnglish) {
  const Error error = connect_error("... failed: FATAL:  57P03: das Datenbanksystem startet\n");
  EXPECT_EQ(error.code, ErrorCode::kPostgresUnreachable);
  EXPECT_EQ(error.sqlstate, "57P03");
}

TEST(ErrorOfConnect, TheLastServerErrorDecides) {
  const Error error = connect_error("a failed: FATAL:  57P03: starting up\nb failed: FATAL:  28000: role does not exist\n");
  EXPECT_EQ(error.code, ErrorCode::kPostgresMisconfigured);
  EXPECT_EQ(error.message, "a failed: FATAL: starting up; b failed: FATAL: role does not exist");
}

TEST(ErrorOfConnect, AdvisesTheLineOfTheDatabaseInPgHba) {
  const Error error = connect_error("x failed: FATAL:  28000: no pg_hba.conf entry for host \"::1\", user \"bob\"\n");
  EXPECT_EQ(
      error.hint,
      "Allow the role in pg_hba.conf with a line for its database: hostssl \"shop\" \"bob\" ADDRESS scram-sha-256. Logical "
      "replication matches the line of the database; the keyword \"replication\" is not needed.");
}

TEST(ErrorOfConnect, AdvisesTheReplicationAttribute) {
  EXPECT_EQ(connect_error("x failed: FATAL:  42501: must be superuser or replication role to start walsender\n").hint,
            "Run as a superuser: ALTER ROLE \"bob\" LOGIN REPLICATION; (Amazon RDS: GRANT rds_replication TO \"bob\";)");
}

TEST(ErrorOfConnect, AdvisesTheAuthoritysFileAndNotToStopVerifying) {
  const Error error = connect_error(
      "x failed: root certificate file \"/home/bob/.postgresql/root.crt\" does not exist\nEither provide the file or change "
      "sslmode to disable server certificate verification.\n");
  EXPECT_EQ(error.code, ErrorCode::kPostgresMisconfigured);
  EXPECT_EQ(error.message, "x failed: root certificate file \"/home/bob/.postgresql/root.crt\" does not exist");
  EXPECT_EQ(error.hint,
            "Name the file with the certificate of the server's authority, sslrootcert=FILE. Authorities that the system "
            "trusts are in /etc/ssl/certs/ca-certificates.crt (Debian) or, with libpq 16 and newer, sslrootcert=system. It "
            "goes into the connection string in environment variable \"DATABASE_URL\".");
}

TEST(ErrorOfConnect, WithoutAnswerItIsUnreachable) {
  const Error error = connect_error(
      "connection to server at \"::1\", port 1 failed: Connection refused\n\tIs the server running on that host?\n", false);
  EXPECT_EQ(error.code, ErrorCode::kPostgresUnreachable);
  EXPECT_EQ(error.message, "connection to server at \"::1\", port 1 failed: Connection refused");
}

TEST(ErrorOfConnect, AnsweredWithoutSqlstateIsASettingUnlessTheLineBroke) {
  EXPECT_EQ(connect_error("x failed: server does not support SSL, but SSL was required\n").code,
            ErrorCode::kPostgresMisconfigured);
  EXPECT_EQ(connect_error("x failed: fe_sendauth: no password supplied\n").code, ErrorCode::kPostgresMisconfigured);
  EXPECT_EQ(connect_error("x failed: session is read-only\n").code, ErrorCode::kPostgresUnreachable);
  EXPECT_EQ(connect_error("x failed: server closed the connection unexpectedly\n\tThis probably means\n").code,
            ErrorCode::kPostgresUnreachable);
  // A server without memory for a process, with and without TLS.
  EXPECT_EQ(connect_error("x failed: server sent an error response during SSL exchange\n").code,
            ErrorCode::kPostgresUnreachable);
  EXPECT_EQ(connect_error("x failed: could not fork new process for connection: Cannot allocate memory\n").code,
            ErrorCode::kPostgresUnreachable);
}

TEST(OneLine, JoinsLinesAndDropsAdviceAndSourceLocation) {
  EXPECT_EQ(one_line("a\n\tadvice\n\nb\nLOCATION:  f, f.c:1\n"), "a; b");
  EXPECT_EQ(one_line("with TLS and without\nwith TLS and without\n"), "with TLS and without");
  EXPECT_EQ(one_line(""), "");
}

}  // namespace
}  // namespace outboxx
