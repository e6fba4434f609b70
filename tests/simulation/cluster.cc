#include "simulation/cluster.h"

#include <cstdio>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "sink/sink.h"

namespace outboxx::simulation {
namespace {

std::uint64_t number_of(const std::string& text, std::string_view name) {
  const std::size_t at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
}

}  // namespace

Recorded read_record(const std::string& text) {
  unsigned high = 0;
  unsigned low = 0;
  constexpr std::string_view kPosition = R"("position":")";
  if (const std::size_t at = text.find(kPosition); at != std::string::npos) {
    (void)std::sscanf(text.c_str() + at + kPosition.size(), "%X/%X", &high, &low);
  }
  return {.is_progress = text.contains(R"("kind":"progress")"),
          .epoch = number_of(text, R"("epoch":)"),
          .publication = number_of(text, R"("publication_oid":)"),
          .position = Lsn{std::uint64_t{high} << 32 | low}};
}

void Cluster::store(const Stored& record) {
  if (record.stream == kProgressStream) {
    write_state(record.key, record.value);
  } else {
    checker_.stored(record.stream, record.key, record.value, record.id, record.is_split);
  }
}

void Cluster::write_state(const std::string& key, const std::string& value) {
  if (value.empty()) {
    state_.erase(key);
    return;
  }
  state_[key] = value;
  const Recorded record = read_record(value);
  const auto rank = [](const Recorded& one) { return std::tuple(one.epoch, one.is_progress, one.position); };
  if (rank(record) >= rank(furthest_)) {
    furthest_ = record;
    checker_.recorded(record.position);
  }
}

std::uint64_t Cluster::init_producer() {
  if (std::exchange(end_is_coming_, false) && random_.percent(50)) {
    commit();
  }
  open_.clear();
  return ++epoch_;
}

void Cluster::store_in_transaction(std::uint64_t epoch, const Stored& record) {
  if (is_current(epoch)) {
    open_.push_back(record);
  }
}

void Cluster::end_transaction(std::uint64_t epoch) {
  if (is_current(epoch)) {
    commit();
  }
}

void Cluster::leave_end(std::uint64_t epoch) {
  end_is_coming_ = is_current(epoch);
}

// All of it becomes visible at once.
void Cluster::commit() {
  for (const Stored& record : std::exchange(open_, {})) {
    store(record);
  }
  checker_.transaction_committed();
}

}  // namespace outboxx::simulation
