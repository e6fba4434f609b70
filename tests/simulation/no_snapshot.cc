// What Session calls of snapshots. A simulated session has none, so nothing of it is ever called: it is here in the place of
// the connections to PostgreSQL that the real one needs.
#include <poll.h>

#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/error.h"
#include "base/time.h"
#include "incremental.h"
#include "model/unit_id.h"
#include "snapshot.h"

namespace outboxx {
namespace {

[[noreturn]] void no_snapshot() {
  detail::check_failed("a simulated session has no snapshot", __FILE_NAME__, __LINE__);
}

}  // namespace

std::span<const pollfd> Snapshot::prepare_wait() {
  no_snapshot();
}
Result<> Snapshot::turn(TimePoint) {
  no_snapshot();
}
void Snapshot::delivered(UnitId, std::uint64_t) {
  no_snapshot();
}

std::span<const pollfd> IncrementalSnapshot::prepare_wait() {
  no_snapshot();
}
TimePoint IncrementalSnapshot::next() const {
  no_snapshot();
}
Result<> IncrementalSnapshot::turn(const Stream&, TimePoint) {
  no_snapshot();
}
IncrementalSnapshot::Wish IncrementalSnapshot::wish() const {
  no_snapshot();
}
void IncrementalSnapshot::delivered(UnitId, std::uint64_t) {
  no_snapshot();
}
void IncrementalSnapshot::recorded(std::uint64_t) {
  no_snapshot();
}

}  // namespace outboxx
