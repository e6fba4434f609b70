#include "postgres/tls_policy.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

namespace outboxx {
namespace {

constexpr int kExpiryWarningDays = 14;

bool is_loopback_v4(const std::string& address) {
  in_addr parsed{};
  return ::inet_pton(AF_INET, address.c_str(), &parsed) == 1 && (ntohl(parsed.s_addr) >> 24) == IN_LOOPBACKNET;
}

bool is_loopback_v6(const std::string& address) {
  in6_addr parsed{};
  return ::inet_pton(AF_INET6, address.c_str(), &parsed) == 1 && IN6_IS_ADDR_LOOPBACK(&parsed);
}

std::string mode_of(const Conninfo& conninfo) {
  const auto found = conninfo.parameters.find("sslmode");
  return found != conninfo.parameters.end() ? found->second : std::string();
}

std::string name_of(const ServerAddress& server) {
  return server.host.empty() ? server.hostaddr : server.host;
}

}  // namespace

bool is_local(const ServerAddress& server) {
  const std::string target = server.hostaddr.empty() ? server.host : server.hostaddr;
  const bool is_socket = target.empty() || target.starts_with('/') || target.starts_with('@');
  return is_socket || target == "localhost" || is_loopback_v4(target) || is_loopback_v6(target);
}

std::optional<std::string> find_unprotected_server(const Conninfo& conninfo) {
  const std::string mode = mode_of(conninfo);
  const auto remote = std::ranges::find_if_not(conninfo.servers, is_local);
  if (remote == conninfo.servers.end() || (mode != "disable" && mode != "allow" && mode != "prefer")) {
    return std::nullopt;
  }
  return name_of(*remote);
}

Result<> apply_tls_policy(Conninfo& conninfo, bool is_mode_spelled_out, const PostgresOptions& options) {
  if (options.insecure || std::ranges::all_of(conninfo.servers, is_local)) {
    return {};
  }
  if (!is_mode_spelled_out) {
    conninfo.parameters["sslmode"] = "verify-full";
  }
  if (const auto server = find_unprotected_server(conninfo)) {
    return fail(ErrorCode::kConfig,
                "source.postgres.insecure: must be true for sslmode=" + mode_of(conninfo) + " with server \"" + *server +
                    "\", which is not this machine",
                "Use sslmode=verify-full and sslrootcert=FILE in the connection string in " + options.connection_source() +
                    ". Set insecure = true in [source.postgres] only if nobody else can reach the network between.");
  }
  return {};
}

Check check_tls(const Conninfo& conninfo) {
  if (const auto server = find_unprotected_server(conninfo)) {
    return warned_check("tls",
                        "the connection to server \"" + *server +
                            "\" may be unencrypted, and its certificate is not verified: sslmode=" + mode_of(conninfo),
                        "Use sslmode=verify-full and sslrootcert=FILE in the connection string.");
  }
  return passed_check("tls", "sslmode=" + mode_of(conninfo));
}

std::optional<Check> check_expiry(const Connection& connection) {
  auto* const ssl = static_cast<SSL*>(PQsslStruct(connection.raw(), "OpenSSL"));
  if (ssl == nullptr) {
    return std::nullopt;
  }
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(ssl), &X509_free);
  int days = 0;
  int seconds = 0;
  if (certificate == nullptr || ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate.get())) != 1) {
    return std::nullopt;
  }
  const std::string message = "the server's certificate expires in " + std::to_string(days) + " days";
  if (days >= kExpiryWarningDays) {
    return passed_check("certificate", message);
  }
  return warned_check("certificate", message,
                      "Renew it at the server before that day: \"outboxx run\" cannot connect afterwards.");
}

}  // namespace outboxx
