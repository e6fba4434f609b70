#include "sink/kafka_sink.h"

#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <memory>
#include <ratio>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/unique_fd.h"
#include "model/event_id.h"
#include "model/record.h"
#include "sink/kafka_config.h"
#include "sink/kafka_error.h"
#include "sink/kafka_opaque.h"
#include "sink/kafka_options.h"
#include "sink/sink.h"

namespace outboxx {
namespace {

// What librdkafka and malloc use for a record beside its bytes, roughly; so that tiny records are bounded too.
constexpr std::size_t kRecordOverhead = 256;

constexpr std::chrono::seconds kPurgeInterval{1};

constexpr std::string_view kIdHeader = "outboxx-id";
constexpr std::string_view kSplitHeader = "outboxx-split";
constexpr std::string_view kSplitValue = "true";

// Below it, plain disconnects could end in a fatal error of the idempotent producer: librdkafka issues #4438, #4750.
constexpr int kAdvisedVersion = 0x02050000;

// Once per process: a new sink is made after each failure.
void warn_of_old_version() {
  static bool warned = false;
  if (!std::exchange(warned, true) && rd_kafka_version() < kAdvisedVersion) {
    log::warn("this librdkafka can fail after a plain disconnect and then starts again; 2.5.0 or newer does not",
              {{"version", rd_kafka_version_str()}});
  }
}

// librdkafka takes pointers to non-const and, told to copy, does not write through them.
void* to_payload(const std::string& bytes) {
  return const_cast<char*>(bytes.data());
}

struct HeadersDeleter {
  void operator()(rd_kafka_headers_t* headers) const { rd_kafka_headers_destroy(headers); }
};
using Headers = std::unique_ptr<rd_kafka_headers_t, HeadersDeleter>;

void add_header(const Headers& headers, std::string_view name, std::string_view value) {
  rd_kafka_header_add(headers.get(), name.data(), static_cast<std::ptrdiff_t>(name.size()), value.data(),
                      static_cast<std::ptrdiff_t>(value.size()));
}

std::size_t size_of(const rd_kafka_message_t& message) {
  return message.len + message.key_len;
}

// librdkafka also reports a record as delivered whose request failed, when a later one to its partition succeeded: the broker
// must have had it, else it would have refused the gap in the sequence. A broker does not where it does not know the producer
// yet, in a partition that was just created: the record is lost. Such a report has no offset (librdkafka:
// rd_kafka_dr_implicit_ack).
bool is_acknowledged(const rd_kafka_message_t& message) {
  return message.err == RD_KAFKA_RESP_ERR_NO_ERROR && message.offset >= 0;
}

// A broker refuses a batch as a whole, and librdkafka reports it so: the record that is too large is the largest one.
const rd_kafka_message_t* likelier_cause(const rd_kafka_message_t* known, const rd_kafka_message_t* other) {
  const bool better = known == nullptr || (is_consequence(known->err) && !is_consequence(other->err)) ||
                      (known->err == other->err && size_of(*other) > size_of(*known));
  return better ? other : known;
}

}  // namespace

Result<std::unique_ptr<KafkaSink>> KafkaSink::create(const KafkaOptions& options, std::span<const std::string> topics,
                                                     Metrics& metrics) {
  std::unique_ptr<KafkaSink> sink(new KafkaSink(options, metrics));
  TRY(sink->start(options, topics));
  return sink;
}

KafkaSink::KafkaSink(const KafkaOptions& options, Metrics& metrics)
    : brokers_(broker_list(options)),
      sasl_(options.sasl),
      state_topic_name_(options.state_topic),
      id_header_(options.id_header),
      creates_topics_(options.creates_topics),
      record_overhead_(kRecordOverhead + (options.id_header ? kIdHeader.size() + kEventIdSize : 0)),
      in_flight_bytes_max_(options.in_flight_bytes_max),
      metrics_(metrics),
      health_(metrics) {}

Result<> KafkaSink::start(const KafkaOptions& options, std::span<const std::string> topics) {
  // Readable at first: what is queued before librdkafka knows the descriptor is not announced.
  wakeup_ = UniqueFd(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wakeup_) {
    return fail(ErrorCode::kInternal, std::string("could not create an eventfd: ") + std::strerror(errno));
  }
  KafkaConf conf = TRY(make_kafka_conf(options));
  std::array<char, 512> reason{};
  kafka_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf.get(), reason.data(), reason.size());
  if (kafka_ == nullptr) {
    return fail(ErrorCode::kConfig, std::string("could not create the Kafka producer: ") + reason.data(),
                "Check [sink.kafka] and [sink.kafka.properties]: the Kafka client refuses this combination.");
  }
  [[maybe_unused]] const rd_kafka_conf_t* const taken = conf.release();  // rd_kafka_new() owns it now
  linger_ = std::chrono::ceil<std::chrono::milliseconds>(
      std::chrono::duration<double, std::milli>(std::strtod(kafka_property(kafka_, "linger.ms").c_str(), nullptr)));
  rd_kafka_set_log_queue(kafka_, nullptr);  // to the main queue
  queue_ = rd_kafka_queue_get_main(kafka_);
  constexpr std::uint64_t kOne = 1;
  rd_kafka_queue_io_event_enable(queue_, wakeup_.get(), &kOne, sizeof kOne);
  for (const std::string& topic : topics) {
    rd_kafka_topic_t* const handle = rd_kafka_topic_new(kafka_, topic.c_str(), nullptr);
    if (handle == nullptr) {
      return fail(ErrorCode::kConfig, "cannot use topic \"" + topic + "\": " + rd_kafka_err2str(rd_kafka_last_error()));
    }
    topics_.push_back(handle);
  }
  if (!options.transactional_id.empty()) {
    transactions_.emplace(kafka_, wakeup_.get());
  }
  warn_of_old_version();
  return {};
}

KafkaSink::~KafkaSink() {
  abandon();
}

pollfd KafkaSink::poll_fd() const {
  return {.fd = wakeup_.get(), .events = POLLIN, .revents = 0};
}

Result<Admission> KafkaSink::produce(const Record& record, UnitId unit) {
  CHECK(record.stream < topics_.size() || record.stream == kProgressStream || failure_);
  if (failure_) {
    return std::unexpected(*failure_);
  }
  if (record.stream == kProgressStream) [[unlikely]] {
    return produce_progress(record);
  }
  if (transactions_ && !TRY(in_transaction())) {
    return Admission::kFull;
  }
  const std::size_t bytes = record.key.size() + record.value.size() + record_overhead_;
  // A record larger than the cap goes alone.
  if (in_flight_records_ > 0 && in_flight_bytes_ + bytes > in_flight_bytes_max_) {
    return Admission::kFull;
  }
  const rd_kafka_resp_err_t error = enqueue(topics_[record.stream], record, unit);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) [[unlikely]] {
    return not_accepted(error, record);
  }
  in_flight_bytes_ += bytes;
  ++in_flight_records_;
  return Admission::kAccepted;
}

// librdkafka takes each record at once; this is where a version that gathers batches would hand them over.
Result<> KafkaSink::flush() {
  update_gauges();
  return {};
}

Result<std::span<const Delivery>> KafkaSink::poll() {
  // Read before the queue is drained: librdkafka writes only when the queue goes from empty to non-empty, so a report that
  // comes in between must leave the descriptor readable.
  eventfd_t count = 0;
  ::eventfd_read(wakeup_.get(), &count);  // EAGAIN: nothing was written
  deliveries_.clear();
  if (!failure_) {
    handle_events();
    take_commit();
  }
  update_gauges();
  if (failure_) {
    return std::unexpected(*failure_);
  }
  return std::span<const Delivery>(deliveries_);
}

// The handle goes, not only its queue: destroying it closes the connections, so that a request already made cannot be sent
// again. What a broker has received may still be written by it.
void KafkaSink::abandon() noexcept {
  if (kafka_ == nullptr) {
    return;
  }
  rd_kafka_purge(kafka_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  transactions_.reset();
  if (state_topic_ != nullptr) {
    rd_kafka_topic_destroy(std::exchange(state_topic_, nullptr));
  }
  if (queue_ != nullptr) {
    rd_kafka_queue_io_event_enable(queue_, -1, nullptr, 0);
    rd_kafka_queue_destroy(std::exchange(queue_, nullptr));
  }
  for (rd_kafka_topic_t* topic : topics_) {
    rd_kafka_topic_destroy(topic);
  }
  topics_.clear();
  rd_kafka_destroy_flags(std::exchange(kafka_, nullptr), RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
  in_flight_bytes_ = 0;
  in_flight_records_ = 0;
  update_gauges();
  if (!failure_) {
    failure_ =
        Error{.code = ErrorCode::kKafkaUnreachable, .message = "the Kafka producer was closed", .hint = {}, .sqlstate = {}};
  }
}

rd_kafka_resp_err_t KafkaSink::enqueue(rd_kafka_topic_t* topic, const Record& record, UnitId unit) {
  if (!id_header_ && !record.is_split) {
    const int result = rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, to_payload(record.value),
                                        record.value.size(), record.key.data(), record.key.size(), to_opaque(unit));
    return result == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error();
  }
  // librdkafka frees headers that it made itself twice when it refuses the record (its issue #4627): these stay ours then.
  Headers headers{rd_kafka_headers_new(2)};
  if (id_header_) {
    id_text_.clear();
    append_event_id(id_text_, record.id);
    add_header(headers, kIdHeader, id_text_);
  }
  if (record.is_split) {
    add_header(headers, kSplitHeader, kSplitValue);
  }
  std::array<rd_kafka_vu_t, 6> fields{};
  fields[0].vtype = RD_KAFKA_VTYPE_RKT;
  fields[0].u.rkt = topic;
  fields[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  fields[1].u.i = RD_KAFKA_MSG_F_COPY;
  fields[2].vtype = RD_KAFKA_VTYPE_VALUE;
  fields[2].u.mem = {.ptr = to_payload(record.value), .size = record.value.size()};
  fields[3].vtype = RD_KAFKA_VTYPE_KEY;
  fields[3].u.mem = {.ptr = to_payload(record.key), .size = record.key.size()};
  fields[4].vtype = RD_KAFKA_VTYPE_OPAQUE;
  fields[4].u.ptr = to_opaque(unit);
  fields[5].vtype = RD_KAFKA_VTYPE_HEADERS;
  fields[5].u.headers = headers.get();
  rd_kafka_error_t* const error = rd_kafka_produceva(kafka_, fields.data(), fields.size());
  if (error == nullptr) [[likely]] {
    [[maybe_unused]] const rd_kafka_headers_t* const taken = headers.release();
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  // A fatal error that was raised before has its own code here, and rd_kafka_produce()'s is the one that the caller knows.
  const rd_kafka_resp_err_t code = rd_kafka_error_is_fatal(error) != 0 ? RD_KAFKA_RESP_ERR__FATAL : rd_kafka_error_code(error);
  rd_kafka_error_destroy(error);
  return code;
}

Result<Admission> KafkaSink::not_accepted(rd_kafka_resp_err_t error, const Record& record) {
  if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
    return Admission::kFull;
  }
  if (is_after_failure(error)) {
    stop_after_fatal_error();
    return Admission::kFull;  // poll() will say why
  }
  metrics_.produce_errors.add();
  const std::string topic = rd_kafka_topic_name(topics_[record.stream]);
  std::string message = "cannot send a record to topic \"" + topic + "\": ";
  if (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
    std::array<char, 32> limit{};
    std::size_t size = limit.size();
    rd_kafka_conf_get(rd_kafka_conf(kafka_), "message.max.bytes", limit.data(), &size);
    message += "its " + std::to_string(record.key.size() + record.value.size()) +
               " bytes of key and value are more than message.max.bytes, " + limit.data();
  } else {
    message += rd_kafka_err2str(error);
  }
  fail_for_good({.code = kafka_error_code(error), .message = message, .hint = kafka_error_hint(error, topic), .sqlstate = {}});
  return std::unexpected(*failure_);
}

void KafkaSink::handle_events() {
  while (const std::unique_ptr<rd_kafka_event_t, EventDeleter> event{rd_kafka_queue_poll(queue_, 0)}) {
    handle_event(event.get());
  }
  if (!has_fatal_error_ || failure_) {
    return;
  }
  if (in_flight_records_ > 0) {
    purge();
  } else {
    fail_with_cause();
  }
}

void KafkaSink::handle_event(rd_kafka_event_t* event) {
  switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR:
      handle_deliveries(event);
      return;
    case RD_KAFKA_EVENT_ERROR:
      handle_error(event);
      return;
    case RD_KAFKA_EVENT_STATS:
      health_.on_stats(rd_kafka_event_stats(event));
      return;
    case RD_KAFKA_EVENT_LOG: {
      const char* facility = "";
      const char* text = "";
      int level = 0;
      if (rd_kafka_event_log(event, &facility, &text, &level) == 0) {
        health_.on_log(level, facility, text);
      }
      return;
    }
    default:  // an int in librdkafka's API; we enabled no other events
      return;
  }
}

void KafkaSink::handle_deliveries(rd_kafka_event_t* event) {
  std::uint64_t delivered = 0;
  const rd_kafka_message_t* cause = nullptr;
  while (const rd_kafka_message_t* const message = rd_kafka_event_message_next(event)) {
    const UnitId unit = to_unit(message->_private);
    const bool is_progress = unit == kProgressUnit;
    if (!is_progress) {
      const std::size_t bytes = message->len + message->key_len + record_overhead_;
      CHECK(in_flight_records_ > 0 && in_flight_bytes_ >= bytes);
      in_flight_bytes_ -= bytes;
      --in_flight_records_;
    }
    if (!is_acknowledged(*message)) [[unlikely]] {
      cause = likelier_cause(cause, message);
      metrics_.produce_errors.add();
      continue;
    }
    if (is_progress && transactions_) {
      continue;  // it counts when it is committed
    }
    delivered += is_progress ? 0 : 1;
    if (!deliveries_.empty() && deliveries_.back().unit == unit) {
      ++deliveries_.back().count;
    } else {
      deliveries_.push_back({.unit = unit, .count = 1});
    }
  }
  metrics_.records_delivered.add(delivered);
  if (cause == nullptr) {
    health_.on_answer();
  }
  if (cause != nullptr) [[unlikely]] {
    handle_failed_delivery(*cause);
  }
}

void KafkaSink::handle_error(rd_kafka_event_t* event) {
  if (rd_kafka_event_error_is_fatal(event) != 0) {
    stop_after_fatal_error();
  } else {
    health_.on_error(rd_kafka_event_error(event), rd_kafka_event_error_string(event));
    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__AUTHENTICATION) {
      renew_credentials();
    }
  }
}

// A password that was changed: librdkafka takes the one from the file for its next attempt to connect.
void KafkaSink::renew_credentials() {
  if (!sasl_ || sasl_->password_file.empty()) {
    return;
  }
  if (const auto password = current_password(*sasl_)) {
    rd_kafka_error_t* const error = rd_kafka_sasl_set_credentials(kafka_, sasl_->username.c_str(), password->c_str());
    if (error != nullptr) {
      rd_kafka_error_destroy(error);
    }
  } else {
    log::warn("could not renew the Kafka password", {{"reason", password.error().message}});
  }
}

void KafkaSink::handle_failed_delivery(const rd_kafka_message_t& message) {
  if (is_consequence(message.err)) {
    stop_after_fatal_error();
    return;
  }
  const std::string topic = rd_kafka_topic_name(message.rkt);
  std::string text = "could not deliver a record of " + std::to_string(size_of(message)) + " bytes to topic \"" + topic + "\"";
  if (message.partition != RD_KAFKA_PARTITION_UA) {
    text += ", partition " + std::to_string(message.partition);
  }
  const bool is_guess = message.err == RD_KAFKA_RESP_ERR_NO_ERROR;
  fail_for_good({.code = kafka_error_code(message.err),
                 .message = text + ": " + (is_guess ? "only a later record was acknowledged" : rd_kafka_err2str(message.err)),
                 .hint = kafka_error_hint(message.err, topic),
                 .sqlstate = {}});
}

// librdkafka announces a fatal error before the delivery report that holds its cause. The purge brings the reports of all
// that is left within a moment, so that poll() can wait for the cause without a time limit. If nothing is left, none comes.
void KafkaSink::stop_after_fatal_error() {
  if (!std::exchange(has_fatal_error_, true)) {
    purge();
    ::eventfd_write(wakeup_.get(), 1);
  }
}

// Now and then once more: a request that fails late puts its records back behind a purge.
void KafkaSink::purge() {
  if (const TimePoint now = Clock::now(); now >= next_purge_) {
    rd_kafka_purge(kafka_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    next_purge_ = now + kPurgeInterval;
  }
}

void KafkaSink::fail_with_cause() {
  std::array<char, 512> reason{};
  const rd_kafka_resp_err_t error = rd_kafka_fatal_error(kafka_, reason.data(), reason.size());
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR && transactions_) {
    if (auto cause = transactions_->failure()) {
      fail_for_good(*std::move(cause));
    }
    return;
  }
  fail_for_good({.code = kafka_error_code(error),
                 .message = std::string("the Kafka producer failed: ") + reason.data(),
                 .hint = kafka_error_hint(error, {}),
                 .sqlstate = {}});
}

// Whether the record was refused for what happened to an earlier one: the producer has failed, or its transaction.
bool KafkaSink::is_after_failure(rd_kafka_resp_err_t error) const {
  return error == RD_KAFKA_RESP_ERR__FATAL || (transactions_ && error == RD_KAFKA_RESP_ERR__STATE);
}

void KafkaSink::fail_for_good(Error error) {
  if (failure_) {  // the first one is the cause
    return;
  }
  const auto open_since = transactions_ ? transactions_->open_since() : std::nullopt;
  const bool timed_out = open_since && Clock::now() - *open_since >= kTransactionTimeout;
  failure_ = timed_out ? after_timeout(std::move(error)) : std::move(error);
}

void KafkaSink::update_gauges() {
  metrics_.in_flight_bytes.set(static_cast<std::int64_t>(in_flight_bytes_));
  metrics_.in_flight_records.set(static_cast<std::int64_t>(in_flight_records_));
  metrics_.sink_queue_records.set(kafka_ == nullptr ? 0 : rd_kafka_outq_len(kafka_));
}

}  // namespace outboxx
