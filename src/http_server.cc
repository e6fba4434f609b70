#include "http_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/time.h"
#include "base/unique_fd.h"
#include "http_jobs.h"
#include "http_responder.h"
#include "snapshot_mailbox.h"

namespace outboxx {
namespace {

// After a failed accept(2), for want of file descriptors for example: the listener stays readable, and would keep us busy.
constexpr std::chrono::seconds kAcceptPause{1};
// For the loop to answer: not while the pipeline reconnects. Our own client waits for 5 s.
constexpr std::chrono::seconds kAnswerTimeout{4};
constexpr std::size_t kMaxConnections = 64;
constexpr std::size_t kMaxHeadBytes = 8192;
constexpr std::size_t kMaxDiscardedBytes = 65'536;
constexpr std::string_view kHeadTooLarge =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

struct Connection {
  // Ending: a close(2) while the client still sends would destroy the answer on its way (RFC 9112, section 9.6).
  // Waiting: for the loop to answer what was asked of it.
  enum class State : std::uint8_t { kReading, kWaiting, kWriting, kEnding, kClosed };

  UniqueFd fd;
  TimePoint deadline;
  State state = State::kReading;
  std::string head{};
  std::string answer{};
  std::size_t written = 0;
  std::size_t discarded = 0;
  bool is_local = false;  // the client is on this machine
  SnapshotMailbox::Ticket ticket = 0;
};

bool is_loopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address);
    return (ntohl(ipv4.sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
  }
  const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  return address.ss_family == AF_INET6 &&
         (IN6_IS_ADDR_LOOPBACK(&ipv6) || (IN6_IS_ADDR_V4MAPPED(&ipv6) && ipv6.s6_addr[12] == IN_LOOPBACKNET));
}

std::string system_message(int error) {
  std::string message = std::generic_category().message(error);
  if (!message.empty() && message[0] >= 'A' && message[0] <= 'Z') {
    message[0] = static_cast<char>(message[0] - 'A' + 'a');
  }
  return message;
}

std::string shown_address(const HttpOptions& options) {
  const bool is_ipv6 = options.address.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + options.address + "]" : options.address) + ":" + std::to_string(options.port);
}

std::unexpected<Error> bind_error(const HttpOptions& options, const std::string& reason) {
  return fail(ErrorCode::kConfig, "could not bind " + shown_address(options) + ": " + reason,
              "Set \"address\" and \"port\" in [observability] to an address of this machine and a port that is free.");
}

Result<UniqueFd> listen_on(const HttpOptions& options) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;  // nothing is looked up
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(options.address.c_str(), std::to_string(options.port).c_str(), &hints, &found);
      error != 0) {
    return bind_error(options, ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> address(found, &::freeaddrinfo);
  UniqueFd fd(::socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;  // connections of an earlier process may still be in TIME_WAIT; a second listener is refused all the same
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd.get(), address->ai_addr, address->ai_addrlen) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) {
    return bind_error(options, system_message(errno));
  }
  return fd;
}

Result<std::uint16_t> bound_port(const UniqueFd& listener) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, 8> port{};
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      ::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, nullptr, 0, port.data(), port.size(), NI_NUMERICSERV) !=
          0) {
    return fail(ErrorCode::kInternal, "could not read the port of a socket");
  }
  return static_cast<std::uint16_t>(std::stoi(port.data()));
}

// Who waits for an answer is not heard, but poll(2) tells the end of the connection.
short events_of(const Connection& connection) {
  switch (connection.state) {
    case Connection::State::kWriting:
      return POLLOUT;
    case Connection::State::kWaiting:
      return 0;
    case Connection::State::kReading:
    case Connection::State::kEnding:
    case Connection::State::kClosed:
      break;
  }
  return POLLIN;
}

bool would_block() {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

}  // namespace

// One thread, which sleeps in poll(2) until there is something to do. The only thing another thread touches is stop.
struct HttpServer::Impl {
  UniqueFd listener;
  std::uint16_t port;
  UniqueFd stop;  // an eventfd
  Duration client_timeout;
  SnapshotMailbox& mailbox;
  HttpResponder responder;
  std::vector<Connection> connections{};  // the oldest first
  TimePoint accept_after{};
  std::thread thread{};

  void run();
  [[nodiscard]] int timeout(TimePoint now) const;
  void accept_all(TimePoint now);
  void advance(Connection& connection, bool ready, TimePoint now);
  void read_head(Connection& connection, TimePoint now);
  void take_job_request(Connection& connection, std::size_t head_size, TimePoint now);
  void take_answers(TimePoint now);
  void give_up_waiting(Connection& connection, TimePoint now);
  void start_answer(Connection& connection, std::string answer, TimePoint now);
  static void write_answer(Connection& connection);
  static void discard(Connection& connection);
};

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpOptions& options, const Metrics& metrics,
                                                      SnapshotMailbox& mailbox, const BuildInfo& build) {
  UniqueFd listener = TRY(listen_on(options));
  const std::uint16_t port = TRY(bound_port(listener));
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC));
  if (!stop) {
    return fail(ErrorCode::kInternal, "could not create an eventfd: " + system_message(errno));
  }
  std::unique_ptr<Impl> impl(new Impl{.listener = std::move(listener),
                                      .port = port,
                                      .stop = std::move(stop),
                                      .client_timeout = options.client_timeout,
                                      .mailbox = mailbox,
                                      .responder{metrics, mailbox, build}});
  impl->thread = std::thread([raw = impl.get()] {
    ::pthread_setname_np(::pthread_self(), "http");  // its own: a process that is not dumpable may not write another's
    raw->run();
  });
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  ::eventfd_write(impl_->stop.get(), 1);
  impl_->thread.join();
}

std::uint16_t HttpServer::port() const {
  return impl_->port;
}

void HttpServer::Impl::run() {
  std::vector<pollfd> fds;
  while (true) {
    const TimePoint before = Clock::now();
    fds = {
        {stop.get(), POLLIN, 0}, {before < accept_after ? -1 : listener.get(), POLLIN, 0}, {mailbox.answers_fd(), POLLIN, 0}};
    for (const Connection& connection : connections) {
      fds.push_back({connection.fd.get(), events_of(connection), 0});
    }
    ::poll(fds.data(), fds.size(), timeout(before));
    if (fds[0].revents != 0) {
      return;
    }
    const TimePoint now = Clock::now();
    for (std::size_t index = 0; index < connections.size(); ++index) {
      advance(connections[index], fds[index + 3].revents != 0, now);
    }
    if (fds[2].revents != 0) {
      take_answers(now);
    }
    std::erase_if(connections, [](const Connection& connection) { return connection.state == Connection::State::kClosed; });
    if (fds[1].revents != 0) {
      accept_all(now);
    }
  }
}

// In milliseconds, as poll(2) takes it: for ever while there is no client.
int HttpServer::Impl::timeout(TimePoint now) const {
  TimePoint next = now < accept_after ? accept_after : TimePoint::max();
  for (const Connection& connection : connections) {
    next = std::min(next, connection.deadline);
  }
  if (next == TimePoint::max()) {
    return -1;
  }
  return std::max(0, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next - now).count()));
}

void HttpServer::Impl::accept_all(TimePoint now) {
  // Not without end: those already accepted get their turn.
  for (std::size_t count = 0; count < kMaxConnections; ++count) {
    sockaddr_storage peer{};
    socklen_t peer_size = sizeof peer;
    UniqueFd fd(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd && (errno == ECONNABORTED || errno == EINTR)) {
      continue;
    }
    if (!fd) {
      accept_after = would_block() ? accept_after : now + kAcceptPause;
      return;
    }
    if (connections.size() == kMaxConnections) {
      mailbox.withdraw(connections.front().ticket);
      connections.erase(connections.begin());
    }
    connections.push_back({.fd = std::move(fd), .deadline = now + client_timeout, .is_local = is_loopback(peer)});
  }
}

void HttpServer::Impl::advance(Connection& connection, bool ready, TimePoint now) {
  if (ready) {
    switch (connection.state) {
      case Connection::State::kReading:
        read_head(connection, now);
        break;
      case Connection::State::kWriting:
        write_answer(connection);
        break;
      case Connection::State::kEnding:
        discard(connection);
        break;
      case Connection::State::kWaiting:  // it has gone
        mailbox.withdraw(connection.ticket);
        connection.state = Connection::State::kClosed;
        break;
      case Connection::State::kClosed:
        break;
    }
  }
  if (now >= connection.deadline && connection.state == Connection::State::kWaiting) {
    give_up_waiting(connection, now);
  } else if (now >= connection.deadline) {
    connection.state = Connection::State::kClosed;
  }
}

void HttpServer::Impl::read_head(Connection& connection, TimePoint now) {
  std::array<char, kMaxHeadBytes> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): recv(2) fills it
  const ssize_t size = ::recv(connection.fd.get(), buffer.data(), buffer.size(), 0);
  if (size <= 0) {
    connection.state = size < 0 && would_block() ? connection.state : Connection::State::kClosed;
    return;
  }
  connection.head.append(buffer.data(), static_cast<std::size_t>(size));
  const std::size_t end = connection.head.find("\r\n\r\n");
  if (end != std::string::npos && end + 4 <= kMaxHeadBytes && is_job_request(connection.head)) {
    take_job_request(connection, end + 4, now);
  } else if (end != std::string::npos && end + 4 <= kMaxHeadBytes) {
    start_answer(connection, responder.respond(connection.head.substr(0, connection.head.find("\r\n"))), now);
  } else if (connection.head.size() >= kMaxHeadBytes) {
    start_answer(connection, std::string(kHeadTooLarge), now);
  }
}

// Once its body is there. The connection's deadline is for both.
void HttpServer::Impl::take_job_request(Connection& connection, std::size_t head_size, TimePoint now) {
  const std::string_view received = connection.head;
  const auto head = parse_job_head(received.substr(0, head_size), connection.is_local);
  if (!head) {
    return start_answer(connection, head.error(), now);
  }
  if (received.size() < head_size + head->content_length) {
    return;
  }
  auto command = parse_job_body(*head, received.substr(head_size, head->content_length));
  if (!command) {
    return start_answer(connection, command.error(), now);
  }
  const auto ticket = mailbox.submit(*std::move(command));
  if (!ticket) {
    return start_answer(
        connection, job_answer({.status = SnapshotAnswer::kUnavailable, .job = 0, .message = "too many requests are waiting"}),
        now);
  }
  connection.ticket = *ticket;
  connection.state = Connection::State::kWaiting;
  connection.deadline = now + kAnswerTimeout;
}

void HttpServer::Impl::take_answers(TimePoint now) {
  mailbox.clear_answers_event();
  for (Connection& connection : connections) {
    if (connection.state != Connection::State::kWaiting) {
      continue;
    }
    if (const auto answer = mailbox.take_answer(connection.ticket)) {
      start_answer(connection, job_answer(*answer), now);
    }
  }
}

void HttpServer::Impl::give_up_waiting(Connection& connection, TimePoint now) {
  mailbox.withdraw(connection.ticket);
  start_answer(connection,
               job_answer({.status = SnapshotAnswer::kUnavailable,
                           .job = 0,
                           .message = "no answer yet: the pipeline does not stream now, or Kafka takes no record; before you "
                                      "try again, see GET /snapshots for whether it counts"}),
               now);
}

void HttpServer::Impl::start_answer(Connection& connection, std::string answer, TimePoint now) {
  connection.answer = std::move(answer);
  connection.state = Connection::State::kWriting;
  connection.deadline = now + client_timeout;
  write_answer(connection);
}

void HttpServer::Impl::write_answer(Connection& connection) {
  const std::string_view rest = std::string_view(connection.answer).substr(connection.written);
  const ssize_t size = ::send(connection.fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
  if (size < 0) {
    connection.state = would_block() ? connection.state : Connection::State::kClosed;
    return;
  }
  connection.written += static_cast<std::size_t>(size);
  if (connection.written == connection.answer.size()) {
    ::shutdown(connection.fd.get(), SHUT_WR);
    connection.state = Connection::State::kEnding;
  }
}

void HttpServer::Impl::discard(Connection& connection) {
  std::array<char, kMaxHeadBytes> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): recv(2) fills it
  const ssize_t size = ::recv(connection.fd.get(), buffer.data(), buffer.size(), 0);
  connection.discarded += size > 0 ? static_cast<std::size_t>(size) : 0;
  if (size == 0 || (size < 0 && !would_block()) || connection.discarded > kMaxDiscardedBytes) {
    connection.state = Connection::State::kClosed;
  }
}

}  // namespace outboxx
