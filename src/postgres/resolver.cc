#include "postgres/resolver.h"

#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace outboxx {
namespace {

// One request to getaddrinfo_a(3). glibc writes into it until the lookup is over, and a running lookup can't be cancelled; so
// it belongs to the waiter and the callback together and goes with the later of them. That is why this is a shared_ptr.
struct Lookup {
  std::string host;
  addrinfo hints{};
  gaicb request{};
  UniqueFd done;  // eventfd, readable when the lookup is over

  explicit Lookup(std::string name) : host(std::move(name)), done(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    request.ar_name = host.c_str();
    request.ar_request = &hints;
  }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  ~Lookup() {
    if (request.ar_result != nullptr) {
      ::freeaddrinfo(request.ar_result);
    }
  }
};

// On a thread of glibc.
void on_lookup_done(sigval value) noexcept {
  const std::unique_ptr<std::shared_ptr<Lookup>> lookup(static_cast<std::shared_ptr<Lookup>*>(value.sival_ptr));
  const std::uint64_t one = 1;
  // The counter can't overflow, so this can't fail.
  [[maybe_unused]] const auto written = ::write((*lookup)->done.get(), &one, sizeof one);
}

std::unexpected<Error> could_not_resolve(const std::string& host, const std::string& reason) {
  return fail(ErrorCode::kPostgresUnreachable, "could not resolve host \"" + host + "\": " + reason);
}

Result<> start(const std::shared_ptr<Lookup>& lookup) {
  if (!lookup->done) {
    return could_not_resolve(lookup->host, std::strerror(errno));
  }
  auto callback_share = std::make_unique<std::shared_ptr<Lookup>>(lookup);
  sigevent notification{};
  notification.sigev_notify = SIGEV_THREAD;
  notification.sigev_notify_function = on_lookup_done;
  notification.sigev_value.sival_ptr = callback_share.get();
  gaicb* requests[] = {&lookup->request};
  if (const int failure = ::getaddrinfo_a(GAI_NOWAIT, requests, 1, &notification); failure != 0) {
    return could_not_resolve(lookup->host, ::gai_strerror(failure));
  }
  [[maybe_unused]] const auto* const owned_by_callback = callback_share.release();
  return {};
}

std::vector<std::string> addresses_of(const addrinfo* list) {
  std::vector<std::string> addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    const bool is_ip = entry->ai_family == AF_INET || entry->ai_family == AF_INET6;
    if (is_ip && ::getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0 &&
        std::ranges::find(addresses, text.data()) == addresses.end()) {
      addresses.emplace_back(text.data());
    }
  }
  return addresses;
}

}  // namespace

bool is_address_or_path(const std::string& host) {
  if (host.empty() || host.front() == '/' || host.front() == '@') {
    return true;
  }
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;  // a text parser: it asks nobody
  addrinfo* list = nullptr;
  const bool numeric = ::getaddrinfo(host.c_str(), nullptr, &hints, &list) == 0;
  if (list != nullptr) {
    ::freeaddrinfo(list);
  }
  return numeric;
}

Result<std::vector<std::string>> resolve_host(const std::string& host, TimePoint deadline, StopSignal stop) {
  const auto lookup = std::make_shared<Lookup>(host);
  TRY(start(lookup));
  if (TRY(wait_for(lookup->done.get(), POLLIN, deadline, stop)) == WaitResult::kTimedOut) {
    return could_not_resolve(host, "no answer in time");
  }
  if (const int failure = ::gai_error(&lookup->request); failure != 0) {
    return could_not_resolve(host, ::gai_strerror(failure));
  }
  auto addresses = addresses_of(lookup->request.ar_result);
  if (addresses.empty()) {
    return could_not_resolve(host, "it has no IP address");
  }
  return addresses;
}

}  // namespace outboxx
