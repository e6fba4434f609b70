#include "postgres/libpq_stream.h"

#include <libpq-fe.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/byte_reader.h"
#include "base/check.h"
#include "base/lsn.h"
#include "postgres/server_error.h"

namespace outboxx {
namespace {

constexpr char kWalDataType = 'w';
constexpr char kKeepaliveType = 'k';
constexpr char kStatusType = 'r';

// How soon to look again at messages that libpq read while it was sending.
constexpr std::chrono::milliseconds kBufferedBound{1};

// The scanner of replication commands knows doubled quotes and nothing else: no E'', which libpq writes around a backslash.
std::string quote_command_literal(std::string_view text) {
  std::string quoted = "'";
  for (const char character : text) {
    quoted.append(character == '\'' ? 2 : 1, character);
  }
  return quoted + '\'';
}

// publication_names is a list of identifiers inside a literal: quoted twice. 0/0: the slot decides where to start; a position
// of ours beyond its own would skip what lies between (PostgreSQL: replication/logical/logical.c, CreateDecodingContext).
std::string start_command(const StreamOptions& options) {
  return "START_REPLICATION SLOT " + quote_sql_identifier(options.slot_name) +
         " LOGICAL 0/0 (proto_version '1', publication_names " +
         quote_command_literal(quote_sql_identifier(options.publication_name)) + ")";
}

// Low-water marks are for TCP, also below TLS: poll(2) does not heed that of a Unix socket, which wakes us less often by
// itself.
bool is_tcp(const PGconn* connection) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return ::getsockopt(PQsocket(connection), SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
         (domain == AF_INET || domain == AF_INET6);
}

std::unexpected<Error> malformed(std::string_view frame) {
  char type[8] = "none";
  if (!frame.empty()) {
    std::snprintf(type, sizeof type, "0x%02x", static_cast<unsigned char>(frame.front()));
  }
  return fail(ErrorCode::kProtocol,
              std::string("malformed replication message: type ") + type + ", length " + std::to_string(frame.size()));
}

}  // namespace

Result<std::unique_ptr<LibpqStream>> LibpqStream::start(Connection&& connection, const StreamOptions& options,
                                                        StopSignal stop) {
  Connection owned = std::move(connection);
  const auto started = owned.query(start_command(options), {}, Clock::now() + options.start_timeout, stop);
  if (started) {
    return std::unique_ptr<LibpqStream>(new LibpqStream(std::move(owned), options));
  }
  Error error = started.error();
  // 42704: no such slot (the publication is looked up later, with the first change). 22023: a plugin that does not know
  // pgoutput's options.
  if (error.sqlstate == "42704" || error.sqlstate == "22023") {
    error.code = ErrorCode::kSlot;
  } else if (error.sqlstate == "55000" || error.sqlstate == "58P01") {
    error.code = ErrorCode::kSlotLost;
  }
  if (error.code == ErrorCode::kInterrupted) {
    return std::unexpected(std::move(error));
  }
  return fail_with_context("could not start replication on slot \"" + options.slot_name + "\"", std::move(error));
}

LibpqStream::LibpqStream(Connection connection, const StreamOptions& options)
    : connection_(std::move(connection)),
      slot_name_(options.slot_name),
      publication_name_(options.publication_name),
      frame_(nullptr, &PQfreemem),
      tls_(PQsslInUse(connection_.raw()) != 0 ? PQsslStruct(connection_.raw(), "OpenSSL") : nullptr),
      is_tcp_(is_tcp(connection_.raw())) {
  if (tls_ != nullptr) {
    // A record holds one message: without it, OpenSSL makes two system calls for each.
    SSL_set_read_ahead(static_cast<SSL*>(tls_), 1);
  }
}

StreamWait LibpqStream::prepare_wait(TimePoint now, bool reading) {
  const int unsent = PQflush(connection_.raw());
  // When libpq can't send it reads, so that two full buffers do not wait for each other. A failure is receive()'s to report.
  may_hold_messages_ = may_hold_messages_ || unsent != 0 || connection_.fd() < 0;
  const ReceivePace pace = pacer_.pace(now);
  set_low_water_mark(pace != ReceivePace::kEach && reading && is_tcp_);

  StreamWait wait{.fd = connection_.fd(), .events = 0, .bound = {}, .delivery_bound = {}};
  if (reading) {
    wait.events = POLLIN;
    wait.bound = may_hold_messages_ ? kBufferedBound : mark_is_raised_ ? ReceivePacer::kBound : std::chrono::milliseconds{0};
    wait.delivery_bound =
        mark_is_raised_ && !may_hold_messages_ && pace == ReceivePace::kSteady ? ReceivePacer::kDeliveryBound : wait.bound;
  }
  if (unsent == 1) {
    wait.events = static_cast<short>(wait.events | POLLOUT);
  }
  return wait;
}

Result<StreamMessage> LibpqStream::receive() {
  pacer_.count_read();
  frame_.reset();
  if (copy_ended_) {
    return receive_end();
  }
  char* frame = nullptr;
  bool lost = false;
  int length = PQgetCopyData(connection_.raw(), &frame, 1);
  if (length == 0) {
    do {  // poll(2) does not announce what OpenSSL holds
      lost = PQconsumeInput(connection_.raw()) == 0;
      length = PQgetCopyData(connection_.raw(), &frame, 1);
    } while (length == 0 && !lost && tls_holds_bytes());
  }
  frame_.reset(frame);
  if (connection_.publication_was_skipped()) {
    return fail(ErrorCode::kPostgresMisconfigured,
                "PostgreSQL skips changes: publication \"" + publication_name_ + "\" does not exist at this point of the WAL",
                "It was created after the slot, or dropped and created again. Nothing after this point was confirmed. Create "
                "the publication, then drop slot \"" +
                    slot_name_ + "\" and start once with --accept-gap 'REASON'.");
  }
  if (length > 0) {
    pacer_.count_message(static_cast<std::size_t>(length));
    return parse_stream_message({frame, static_cast<std::size_t>(length)});
  }
  if (length == -1) {
    copy_ended_ = true;
    return receive_end();
  }
  if (length < 0 || lost) {
    return std::unexpected(lost_connection(connection_.raw()));
  }
  may_hold_messages_ = false;
  return NothingYet{};
}

// The COPY is over; why is in the results that follow. PQgetResult() would block while libpq is busy.
Result<StreamMessage> LibpqStream::receive_end() {
  bool lost = false;
  do {
    lost = PQconsumeInput(connection_.raw()) == 0;
  } while (!lost && PQisBusy(connection_.raw()) != 0 && tls_holds_bytes());
  if (PQisBusy(connection_.raw()) != 0) {
    if (lost) {
      return std::unexpected(lost_connection(connection_.raw()));
    }
    may_hold_messages_ = false;
    return NothingYet{};
  }
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(connection_.raw()), &PQclear);
  const auto status = PQresultStatus(result.get());
  if (result != nullptr && (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE)) {
    return failed(error_of_result(result.get()));
  }
  if (end_sent_) {
    return StreamEnded{};
  }
  return fail(ErrorCode::kPostgresUnreachable, "PostgreSQL ended the stream: the server is shutting down");
}

Result<> LibpqStream::send_status(const StandbyStatus& status) {
  CHECK(!end_sent_);  // nothing may follow CopyDone
  if (copy_ended_) {
    return {};  // receive() is about to say why
  }
  const StatusFrame frame = encode_status(status, wall_now());
  // 0, no room, loses nothing: the next update says the same or more.
  if (PQputCopyData(connection_.raw(), frame.data(), static_cast<int>(frame.size())) < 0 || PQflush(connection_.raw()) < 0) {
    return std::unexpected(lost_connection(connection_.raw()));
  }
  return {};
}

Result<> LibpqStream::end() {
  if (copy_ended_) {
    return {};
  }
  if (PQputCopyEnd(connection_.raw(), nullptr) != 1 || PQflush(connection_.raw()) < 0) {
    return std::unexpected(lost_connection(connection_.raw()));
  }
  end_sent_ = true;
  return {};
}

std::unexpected<Error> LibpqStream::failed(Error error) const {
  if (error.sqlstate == "42704") {
    error.code = ErrorCode::kPostgresMisconfigured;
    error.hint =
        "The publication must have existed when the changes were written. If it was created after the slot, drop slot \"" +
        slot_name_ + "\" and start once with --accept-gap 'REASON'.";
  } else if (error.sqlstate == "55000" || error.sqlstate == "58P01") {
    error.code = ErrorCode::kSlotLost;
  }
  if (!error.sqlstate.empty()) {  // the text may be in any language
    error.message += " (SQLSTATE " + error.sqlstate + ")";
  }
  return fail_with_context("replication on slot \"" + slot_name_ + "\" failed", std::move(error));
}

// Also what it has read ahead, unless that is a part of a record: then it wants the rest, which poll(2) announces.
bool LibpqStream::tls_holds_bytes() const {
  const auto* const tls = static_cast<const SSL*>(tls_);
  return tls != nullptr && SSL_has_pending(tls) != 0 && !SSL_want_read(tls);
}

// A failure costs wake-ups, or a few milliseconds of latency, and nothing else. SO_RCVBUF is left alone: a small one stalls the
// connection.
void LibpqStream::set_low_water_mark(bool raised) {
  if (raised == mark_is_raised_) {
    return;
  }
  const int bytes = raised ? ReceivePacer::kRaisedMarkBytes : 1;
  ::setsockopt(connection_.fd(), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
  mark_is_raised_ = raised;
}

// 'w': start 8, end 8, clock 8, data. 'k': end 8, clock 8, reply requested 1.
Result<StreamMessage> parse_stream_message(std::string_view frame) {
  ByteReader reader(frame);
  const auto type = static_cast<char>(reader.read_u8());
  const Lsn first{reader.read_u64()};
  if (type == kWalDataType) {
    const Lsn wal_end{reader.read_u64()};
    (void)reader.read_u64();
    const WalData message{.start = first, .wal_end = wal_end, .data = reader.read_bytes(reader.remaining())};
    return reader.failed() ? malformed(frame) : Result<StreamMessage>(message);
  }
  if (type == kKeepaliveType) {
    (void)reader.read_u64();
    const Keepalive message{.wal_end = first, .reply_requested = reader.read_u8() != 0};
    return reader.failed() || reader.remaining() > 0 ? malformed(frame) : Result<StreamMessage>(message);
  }
  return malformed(frame);
}

StatusFrame encode_status(const StandbyStatus& status, WallTime now) {
  StatusFrame frame;
  frame.front() = kStatusType;
  std::size_t position = 1;
  for (const std::uint64_t number :
       {status.write.value, status.flush.value, status.apply.value, static_cast<std::uint64_t>(to_postgres_time(now))}) {
    const std::uint64_t network = std::endian::native == std::endian::big ? number : std::byteswap(number);
    std::memcpy(frame.data() + position, &network, sizeof network);
    position += sizeof network;
  }
  frame.back() = status.request_reply ? 1 : 0;
  return frame;
}

}  // namespace outboxx
