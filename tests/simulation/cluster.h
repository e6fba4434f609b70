// Cluster: what Kafka keeps when a producer is gone: the state topic, and the Kafka transaction that it left open.
//
// The transaction coordinator's rules: only the newest producer of the transactional id may write or end a transaction; a new
// one is told so after what the older left open is ended. A request to end it that is on its way then counts or is refused, and
// nobody else can know which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/lsn.h"
#include "model/event_id.h"
#include "simulation/checker.h"
#include "simulation/random.h"

namespace outboxx::simulation {

// Of a state record, as docs/delivery.md shows it; read without the program's code.
struct Recorded {
  bool is_progress = false;
  std::uint64_t epoch = 0;
  std::uint64_t publication = 0;
  Lsn position;
};
[[nodiscard]] Recorded read_record(const std::string& text);

class Cluster {
 public:
  struct Stored {
    std::size_t stream = 0;  // kProgressStream: the state topic
    std::string key;
    std::string value;
    EventId id;
    bool is_split = false;
  };

  Cluster(Checker& checker, Random& random) : checker_(checker), random_(random) {}

  // Outside of transactions.
  void store(const Stored& record);
  // An empty value is a tombstone.
  void write_state(const std::string& key, const std::string& value);

  // A new producer: ends what the one before left. Returns its epoch.
  std::uint64_t init_producer();
  [[nodiscard]] bool is_current(std::uint64_t epoch) const { return epoch == epoch_; }
  void store_in_transaction(std::uint64_t epoch, const Stored& record);
  void end_transaction(std::uint64_t epoch);
  // The request to end it is on its way, and nobody waits for the answer.
  void leave_end(std::uint64_t epoch);

  [[nodiscard]] const std::map<std::string, std::string>& state() const { return state_; }  // what is not removed, by key
  // The furthest of all that was ever written.
  [[nodiscard]] const Recorded& furthest() const { return furthest_; }
  [[nodiscard]] bool has_record() const { return furthest_.epoch > 0; }

 private:
  void commit();

  Checker& checker_;
  Random& random_;
  std::map<std::string, std::string> state_;
  Recorded furthest_;
  std::uint64_t epoch_ = 0;
  std::vector<Stored> open_;  // of the transaction
  bool end_is_coming_ = false;
};

}  // namespace outboxx::simulation
