// Starter: what supervise() and start_slot() do before a session, with the program's own decisions, what others do to the slot
// and the server meanwhile, and the operator who answers a refusal.
//
// Beside it stands the table of docs/delivery.md once more, in other words: a start that it wants refused and that is not, one
// that is refused without a reason, and one with another reason's code, is a violation.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "model/state_record.h"
#include "simulation/checker.h"
#include "simulation/cluster.h"
#include "simulation/crash.h"
#include "simulation/database.h"
#include "simulation/random.h"
#include "simulation/trace.h"
#include "simulation/walsender.h"
#include "start_decision.h"

namespace outboxx::simulation {

enum class Tampering : std::uint8_t {
  kDropSlot,
  kRecreateSlot,
  kAdvanceSlot,
  kWrongServer,  // one that was restored, swapped, or left behind; until the operator names the right one
  kRecreatePublication,
  kKillInStart,  // of ours, between two effects
};

class Starter {
 public:
  struct Parts {
    Cluster& cluster;
    Checker& checker;
    const Database& database;
    Slot& slot;
    CrashPoint& crash;
    Random& random;
    Trace& trace;
  };
  struct Started {
    StateRecord state;
    std::string key;
    std::uint64_t producer = 0;  // its epoch, exactly once
  };

  Starter(const Parts& parts, int server_version, bool is_exactly_once)
      : parts_(parts), server_version_(server_version), is_exactly_once_(is_exactly_once) {}

  // Somebody does that before the next start.
  void tamper(Tampering what) { tamperings_.push_back(what); }
  // A standby that has everything, the slot too, takes over.
  void fail_over();

  // One attempt, while nobody streams from the slot. Nothing: it was refused, and the operator has seen to it.
  [[nodiscard]] std::optional<Started> attempt();

  [[nodiscard]] std::uint64_t refusals() const { return refusals_; }

 private:
  enum class View : std::uint8_t { kRight, kOtherSystem, kOtherDatabase, kRestored, kLowerTimeline, kDiverged };

  // It shows only in what was streamed already.
  [[nodiscard]] static bool needs_position(View view) { return view == View::kRestored || view == View::kDiverged; }
  void carry_out(Tampering what);
  void create_slot();
  [[nodiscard]] StateHistory read_state() const;
  [[nodiscard]] StartFacts gather(const StateHistory& history) const;
  [[nodiscard]] std::set<ErrorCode> reasons_to_refuse() const;
  void answer(const Error& refusal, const std::set<ErrorCode>& reasons);
  void write(const std::string& key, const std::string& value);
  [[nodiscard]] Started carry_on(const StartFacts& facts, StartAction action);

  Parts parts_;
  int server_version_;
  bool is_exactly_once_;
  std::vector<Tampering> tamperings_;
  View view_ = View::kRight;
  std::uint32_t timeline_ = 2;
  std::map<std::uint32_t, Lsn> timeline_ends_;
  std::uint32_t publication_oid_ = 16'500;
  StartOverrides overrides_;
  std::uint64_t next_instance_ = 1;
  std::uint64_t refusals_ = 0;
};

}  // namespace outboxx::simulation
