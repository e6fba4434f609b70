#include "http_server.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/metrics.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "snapshot_mailbox.h"
#include "snapshot_testing.h"
#include "snapshots_json.h"

namespace outboxx {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// A test that needs this long has failed.
constexpr seconds kPatience{20};

// Of all tests: one at a time looks at it.
SnapshotMailbox& mailbox() {
  static SnapshotMailbox mailbox;
  return mailbox;
}

std::unique_ptr<HttpServer> start(const Metrics& metrics, milliseconds client_timeout = minutes(5)) {
  auto server = HttpServer::start({.port = 0, .client_timeout = client_timeout}, metrics, mailbox(),
                                  {.version = "1.0.0", .libpq = "15.14", .librdkafka = "2.0.2"});
  EXPECT_TRUE(server) << server.error().message;
  return *std::move(server);
}

// A connection to the server; reads and writes block, but not for ever.
class Client {
 public:
  explicit Client(const HttpServer& server, int receive_buffer = 0) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{.tv_sec = kPatience.count(), .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (receive_buffer > 0) {
      ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }

  void send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t size = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      ASSERT_GT(size, 0);
      text.remove_prefix(static_cast<std::size_t>(size));
    }
  }
  // Up to the end of the connection; "(no end)" if it stays open, "(reset)" behind what came before one.
  [[nodiscard]] std::string read_all() const {
    std::string out;
    std::array<char, 4096> buffer{};
    ssize_t size = 0;
    while ((size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0)) > 0) {
      out.append(buffer.data(), static_cast<std::size_t>(size));
    }
    if (size < 0) {
      return errno == ECONNRESET ? out + "(reset)" : "(no end)";
    }
    return out;
  }
  // Closes with a reset instead of an orderly end.
  void abort() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    fd_ = UniqueFd();
  }

 private:
  UniqueFd fd_;
};

std::string ask(const HttpServer& server, const std::string& request) {
  const Client client(server);
  client.send(request);
  return client.read_all();
}

std::string get(const HttpServer& server, const std::string& path) {
  return ask(server, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

std::string response(const std::string& status, const std::string& body, const std::string& extra = "") {
  return "HTTP/1.1 " + status + "\r\n" + extra + "Connection: close\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body;
}

void set_progress(Metrics& metrics, Duration age) {
  metrics.loop_progress_us.set(duration_cast<microseconds>((Clock::now() - age).time_since_epoch()).count());
}

TEST(HttpServer, HealthIsTheProgressOfTheLoopWhileItRuns) {
  Metrics metrics;
  const auto server = start(metrics);
  EXPECT_EQ(get(*server, "/healthz"), response("200 OK", "ok\n")) << "nothing runs yet";
  metrics.streaming.set(1);
  set_progress(metrics, seconds(85));
  EXPECT_EQ(get(*server, "/healthz"), response("200 OK", "ok\n"));
  set_progress(metrics, seconds(91));
  EXPECT_EQ(get(*server, "/healthz"), response("503 Service Unavailable", "unavailable\n"));
  set_progress(metrics, seconds(0));
  EXPECT_EQ(get(*server, "/healthz"), response("200 OK", "ok\n"));
  set_progress(metrics, seconds(91));
  metrics.streaming.set(0);
  EXPECT_EQ(get(*server, "/healthz"), response("200 OK", "ok\n")) << "connecting again";
}

TEST(HttpServer, ReadinessSaysWhatIsMissing) {
  Metrics metrics;
  const auto server = start(metrics);
  const std::string unavailable = "503 Service Unavailable";
  EXPECT_EQ(get(*server, "/readyz"), response(unavailable, "PostgreSQL is not streaming, the sink is not reachable\n"));
  metrics.sink_reachable.set(1);
  EXPECT_EQ(get(*server, "/readyz"), response(unavailable, "PostgreSQL is not streaming\n"));
  metrics.streaming.set(1);
  EXPECT_EQ(get(*server, "/readyz"), response("200 OK", "ok\n"));
  metrics.sink_reachable.set(0);
  EXPECT_EQ(get(*server, "/readyz"), response(unavailable, "the sink is not reachable\n"));
}

TEST(HttpServer, ServesMetrics) {
  Metrics metrics;
  metrics.streams.emplace_back().name = "orders";
  metrics.streams.back().inserts.add(3);
  const auto server = start(metrics);
  const std::string answer = get(*server, "/metrics?x=y");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_NE(answer.find("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("\noutboxx_events_processed_total{stream=\"orders\",operation=\"INSERT\"} 3\n"), std::string::npos);
  EXPECT_NE(answer.find("\noutboxx_build_info{version=\"1.0.0\",libpq=\"15.14\",librdkafka=\"2.0.2\"} 1\n"), std::string::npos);
}

TEST(HttpServer, ServesTheProgressOfSnapshots) {
  Metrics metrics;
  const auto server = start(metrics);
  EXPECT_EQ(get(*server, "/snapshots"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 218\r\nContent-Type: application/json\r\n\r\n" +
                snapshots_json(metrics.snapshot, {}, wall_now()));
  set_half_way(metrics.snapshot);
  EXPECT_NE(get(*server, "/snapshots").find(R"("state":"running")"), std::string::npos);
}

TEST(HttpServer, RefusesWhatItDoesNotServe) {
  const Metrics metrics;
  const auto server = start(metrics);
  EXPECT_EQ(get(*server, "/"), response("404 Not Found", "not found\n"));
  EXPECT_EQ(get(*server, "/metrics/"), response("404 Not Found", "not found\n"));
  EXPECT_EQ(get(*server, "/%2e%2e/healthz"), response("404 Not Found", "not found\n"));
  for (const std::string method : {"POST", "PUT", "DELETE"}) {
    EXPECT_EQ(ask(*server, method + " /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
              response("405 Method Not Allowed", "method not allowed\n", "Allow: GET\r\n"));
  }
  for (const std::string request : {"nonsense\r\n\r\n", "\r\n\r\n", "GET /healthz HTTP/3.7\r\n\r\n", "GET\r\n\r\n"}) {
    EXPECT_TRUE(ask(*server, request).starts_with("HTTP/1.1 400 Bad Request\r\n")) << request;
  }
}

TEST(HttpServer, IgnoresHeadersThatWouldMakeTheAnswerGrow) {
  const Metrics metrics;
  const auto server = start(metrics);
  EXPECT_EQ(ask(*server,
                "GET /healthz HTTP/1.1\r\nRange: bytes=0-,0-,0-\r\nExpect: 100-continue\r\nAccept-Encoding: gzip\r\n"
                "Connection: keep-alive\r\n\r\n"),
            response("200 OK", "ok\n"));
}

TEST(HttpServer, AnswersARequestThatComesInPieces) {
  const Metrics metrics;
  const auto server = start(metrics);
  const Client client(*server);
  for (const char letter : std::string_view("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")) {
    client.send({&letter, 1});
    (void)get(*server, "/healthz");  // by then the letter was read on its own
  }
  EXPECT_EQ(client.read_all(), response("200 OK", "ok\n"));
}

TEST(HttpServer, LimitsTheHead) {
  const Metrics metrics;
  const auto server = start(metrics);
  const std::string start_of_head = "GET /healthz HTTP/1.1\r\nX: ";
  const std::string fits = start_of_head + std::string(8192 - start_of_head.size() - 4, 'x') + "\r\n\r\n";
  EXPECT_EQ(ask(*server, fits), response("200 OK", "ok\n"));
  const std::string too_large =
      "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  EXPECT_EQ(ask(*server, start_of_head + std::string(8192 - start_of_head.size() - 3, 'x') + "\r\n\r\n"), too_large);
  EXPECT_EQ(ask(*server, std::string(30'000, 'x')), too_large);
}

TEST(HttpServer, ServesAtOnceWhileOthersHoldConnectionsOpen) {
  const Metrics metrics;
  const auto server = start(metrics);
  std::vector<std::unique_ptr<Client>> slow;
  for (int count = 0; count < 200; ++count) {
    slow.push_back(std::make_unique<Client>(*server));
    slow.back()->send("GET /metrics HT");
    if (count % 20 == 0) {
      EXPECT_EQ(get(*server, "/healthz"), response("200 OK", "ok\n"));
    }
  }
  EXPECT_EQ(get(*server, "/healthz"), response("200 OK", "ok\n"));
  EXPECT_EQ(slow.front()->read_all(), "") << "the oldest had to go";
}

TEST(HttpServer, EndsClientsThatAreTooSlow) {
  const Metrics metrics;
  const auto server = start(metrics, milliseconds(50));
  const Client silent(*server);
  const Client slow(*server);
  slow.send("GET /metrics HT");
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_EQ(slow.read_all(), "");
}

TEST(HttpServer, EndsClientsThatDoNotTakeTheirAnswer) {
  Metrics metrics;
  for (int count = 0; count < 20'000; ++count) {
    metrics.streams.emplace_back().name = "stream_" + std::to_string(count);  // more than the sockets' buffers hold
  }
  const auto server = start(metrics, milliseconds(200));
  const Client lazy(*server, 4096);
  lazy.send("GET /metrics HTTP/1.1\r\n\r\n");
  const Client silent(*server);
  EXPECT_EQ(silent.read_all(), "");  // ends after the answer to the other one began
  EXPECT_EQ(get(*server, "/healthz"), response("200 OK", "ok\n"));
  const std::string answer = lazy.read_all();
  EXPECT_EQ(answer.find("process_start_time_seconds"), std::string::npos);
}

TEST(HttpServer, SendsLongAnswersWhole) {
  Metrics metrics;
  for (int count = 0; count < 20'000; ++count) {
    metrics.streams.emplace_back().name = "stream_" + std::to_string(count);
  }
  const auto server = start(metrics);
  const std::string answer = get(*server, "/metrics");
  EXPECT_NE(answer.find("\nprocess_start_time_seconds "), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\n"));
}

TEST(HttpServer, SurvivesClientsThatGoAway) {
  const Metrics metrics;
  const auto server = start(metrics);
  for (int count = 0; count < 200; ++count) {
    Client client(*server);
    client.send(std::string_view("GET /metrics HTTP/1.1\r\n\r\n").substr(0, count % 2 == 0 ? 99 : 10));
    client.abort();
  }
  EXPECT_EQ(get(*server, "/healthz"), response("200 OK", "ok\n"));
}

std::string post(std::string_view path, std::string_view body) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

TEST(HttpServer, HandsJobsToTheLoopAndItsAnswersBack) {
  const Metrics metrics;
  const auto server = start(metrics);
  const Client client(*server);
  client.send(post("/snapshots", R"({"tables":["public.t"]})"));
  pollfd letters{.fd = mailbox().letters_fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&letters, 1, 20'000), 1);
  const auto taken = mailbox().take_letters();
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].command.tables, std::vector<std::string>{"public.t"});
  mailbox().answer(taken[0].ticket, {.status = 202, .job = 17, .message = {}});
  EXPECT_TRUE(client.read_all().ends_with("\r\n\r\n{\"id\":17}\n"));
}

TEST(HttpServer, SaysThatTheLoopDoesNotAnswer) {
  const Metrics metrics;
  const auto server = start(metrics);
  EXPECT_TRUE(ask(*server, post("/snapshots/17/pause", "{}")).starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(mailbox().take_letters().empty());
}

TEST(HttpServer, RefusesAnAddressInUse) {
  const Metrics metrics;
  const auto server = start(metrics);
  const auto second = HttpServer::start({.port = server->port()}, metrics, mailbox(), {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kConfig);
  EXPECT_EQ(second.error().message, "could not bind 127.0.0.1:" + std::to_string(server->port()) + ": address already in use");
  EXPECT_EQ(second.error().hint,
            "Set \"address\" and \"port\" in [observability] to an address of this machine and a port that is free.");
}

TEST(HttpServer, RefusesAnAddressOfAnotherMachine) {
  const auto server = HttpServer::start({.address = "2001:db8::1", .port = 9464}, Metrics(), mailbox(), {});
  ASSERT_FALSE(server);
  EXPECT_TRUE(server.error().message.starts_with("could not bind [2001:db8::1]:9464: ")) << server.error().message;
}

TEST(HttpServer, ListensOnIpv6) {
  const Metrics metrics;
  const auto server = HttpServer::start({.address = "::1", .port = 0}, metrics, mailbox(), {});
  if (!server && server.error().message.ends_with("cannot assign requested address")) {
    GTEST_SKIP() << "no IPv6 here";
  }
  ASSERT_TRUE(server) << server.error().message;
  const UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons((*server)->port());
  address.sin6_addr = in6addr_loopback;
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
}

TEST(HttpServer, AddressIsFreeAfterItStopped) {
  const Metrics metrics;
  auto server = start(metrics);
  const std::uint16_t port = server->port();
  const Client open(*server);
  (void)get(*server, "/healthz");
  server.reset();
  EXPECT_TRUE(HttpServer::start({.port = port}, metrics, mailbox(), {}));
}

TEST(HttpServer, ReadsConsistentMetricsWhileTheyChange) {
  Metrics metrics;
  metrics.streams.emplace_back().name = "orders";
  const auto server = start(metrics);
  std::atomic<bool> is_done{false};
  std::jthread writer([&metrics, &is_done] {
    for (std::int64_t value = 0; !is_done; ++value) {
      metrics.streams.front().inserts.add();
      metrics.commit_to_ack.observe(value % 700'000'000);
      metrics.received_lsn.set(value);
      metrics.streaming.set(value % 2);
    }
  });
  const auto number_after = [](const std::string& text, const std::string& name) {
    return text.substr(text.find(name) + name.size(), text.find('\n', text.find(name)) - text.find(name) - name.size());
  };
  for (int scrape = 0; scrape < 20; ++scrape) {
    const std::string answer = get(*server, "/metrics");
    ASSERT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    EXPECT_EQ(number_after(answer, "outboxx_commit_to_ack_seconds_count "),
              number_after(answer, "outboxx_commit_to_ack_seconds_bucket{le=\"+Inf\"} "));
  }
  is_done = true;
}

}  // namespace
}  // namespace outboxx
