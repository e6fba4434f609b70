// Sink: where records go, and from where the news comes that they arrived.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "base/error.h"
#include "base/time.h"
#include "base/wait.h"
#include "model/record.h"
#include "model/unit_id.h"

namespace outboxx {

enum class Admission : std::uint8_t {
  kAccepted,  // the sink has copied the record and will deliver it or fail in poll()
  kFull,      // back-pressure: nothing was taken; offer the same record again after poll() brought deliveries
};

// A record of this stream is the pipeline's position, for the place where state is kept; its unit is kProgressUnit, and at most
// one is under way. The sink reports it delivered when it is durable: in exactly-once mode, when it and everything before it
// was committed as one Kafka transaction. Until then the sink may be full for everything else.
inline constexpr std::size_t kProgressStream = std::numeric_limits<std::size_t>::max();
inline constexpr UnitId kProgressUnit = std::numeric_limits<UnitId>::max();

// count records of unit have arrived for good.
struct Delivery {
  UnitId unit = 0;
  std::uint32_t count = 0;
};

// Used by one thread. Records of one key are delivered in the order of produce(). After any error the sink is spent: destroy
// it, and read again from the last confirmed position.
class Sink {
 public:
  virtual ~Sink() = default;

  // Before the first record: can the sink be reached and does it accept the streams' topics? Waits until the deadline, or
  // for a stop (kInterrupted). kKafkaUnreachable, kKafkaRefused.
  [[nodiscard]] virtual Result<> open(TimePoint deadline, StopSignal stop) = 0;

  // What to poll(2) for. Ask again before each poll: events may change.
  [[nodiscard]] virtual pollfd poll_fd() const = 0;

  // Never blocks. A record that can never be delivered (too large) is an error now, kKafkaRefused.
  [[nodiscard]] virtual Result<Admission> produce(const Record& record, UnitId unit) = 0;

  // How long a record may wait in the sink for others that go with it.
  [[nodiscard]] virtual std::chrono::milliseconds linger() const = 0;

  // Hands over what produce() gathered. Call at the end of a drain and before a wait. Never blocks.
  [[nodiscard]] virtual Result<> flush() = 0;

  // Deliveries since the last call; the view is valid until the next call of poll(). Never blocks. A failed delivery is an
  // error: kKafkaRefused if trying again cannot help, kKafkaUnreachable if a new sink may succeed.
  [[nodiscard]] virtual Result<std::span<const Delivery>> poll() = 0;

  // Throws away what is queued, so that nothing of it is sent from now on. For a lost replication stream: its records will
  // come again, and old ones must not land after newer ones.
  virtual void abandon() noexcept = 0;
};

}  // namespace outboxx
