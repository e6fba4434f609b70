#include "http_jobs.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "snapshot_mailbox.h"

namespace outboxx {
namespace {

constexpr std::string_view kGoodHeaders = "Host: localhost:9464\r\nContent-Type: application/json\r\n";

std::string head(std::string_view path, std::string_view headers = kGoodHeaders) {
  return "POST " + std::string(path) + " HTTP/1.1\r\n" + std::string(headers) + "\r\n";
}

std::string status_of(const std::string& text, bool is_local = true) {
  const auto parsed = parse_job_head(text, is_local);
  return parsed ? "ok" : parsed.error().substr(9, 3);
}

TEST(JobRequestHead, IsOnlyWhatIsPosted) {
  EXPECT_TRUE(is_job_request(head("/snapshots")));
  EXPECT_TRUE(is_job_request(head("/snapshots/1/pause")));
  EXPECT_FALSE(is_job_request(head("/snapshotsx")));
  EXPECT_FALSE(is_job_request("GET /snapshots HTTP/1.1\r\n\r\n"));
}

TEST(JobRequestHead, RefusesClientsOfOtherMachinesAndOtherPages) {
  EXPECT_EQ(status_of(head("/snapshots")), "ok");
  EXPECT_EQ(status_of(head("/snapshots"), false), "403");
  EXPECT_EQ(status_of(head("/snapshots", "Host: evil.example\r\nContent-Type: application/json\r\n")), "403");
  EXPECT_EQ(status_of(head("/snapshots", "host: [::1]:9464\r\ncontent-type: Application/JSON; charset=utf-8\r\n")), "ok");
  EXPECT_EQ(status_of(head("/snapshots", "Host: 127.0.0.1\r\nContent-Type: text/plain\r\n")), "415");
}

TEST(JobRequestHead, KnowsItsLength) {
  const std::string start(kGoodHeaders);
  EXPECT_EQ(parse_job_head(head("/snapshots", start + "Content-Length:  17 \r\n"), true)->content_length, 17U);
  EXPECT_EQ(status_of(head("/snapshots", start + "Content-Length: 65537\r\n")), "413");
  EXPECT_EQ(status_of(head("/snapshots", start + "Content-Length: -1\r\n")), "400");
  EXPECT_EQ(status_of(head("/snapshots", start + "Transfer-Encoding: chunked\r\n")), "400");
}

TEST(JobRequestBody, BecomesACommand) {
  const auto added = parse_job_body({.path = "/snapshots"}, R"({"tables":["public.t"],"where":"a"})");
  ASSERT_TRUE(added);
  EXPECT_EQ(added->kind, SnapshotCommand::Kind::kAdd);
  EXPECT_EQ(added->where, "a");
  const auto paused = parse_job_body({.path = "/snapshots/17/pause"}, "");
  ASSERT_TRUE(paused);
  EXPECT_EQ(paused->kind, SnapshotCommand::Kind::kPause);
  EXPECT_EQ(paused->job, 17U);
  EXPECT_EQ(parse_job_body({.path = "/snapshots/17/resume"}, "")->kind, SnapshotCommand::Kind::kResume);
  EXPECT_EQ(parse_job_body({.path = "/snapshots/17/cancel"}, "")->kind, SnapshotCommand::Kind::kCancel);
  for (const char* const path :
       {"/snapshots/", "/snapshots/17", "/snapshots/17/", "/snapshots/x/pause", "/snapshots/17/explode"}) {
    EXPECT_FALSE(parse_job_body({.path = path}, "")) << path;
  }
}

TEST(JobAnswer, IsJson) {
  EXPECT_EQ(job_answer({.status = 202, .job = 17, .message = {}}),
            "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"
            "{\"id\":17}\n");
  EXPECT_TRUE(job_answer({.status = 404, .job = 0, .message = "no \"t\""}).ends_with("{\"error\":\"no \\\"t\\\"\"}\n"));
}

}  // namespace
}  // namespace outboxx
