#include "simulation/starter.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace outboxx::simulation {
namespace {

constexpr const char* kPipeline = "shop.orders_slot";

std::string instance_of(std::uint64_t number) {
  char text[17];
  (void)std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

}  // namespace

void Starter::fail_over() {
  timeline_ends_[timeline_] = parts_.database.wal_end();
  ++timeline_;
}

std::optional<Starter::Started> Starter::attempt() {
  const bool is_killed = std::ranges::find(tamperings_, Tampering::kKillInStart) != tamperings_.end();
  for (const Tampering what : std::exchange(tamperings_, {})) {
    carry_out(what);
  }
  const StartOverrides overrides = std::exchange(overrides_, {});
  if (is_killed) {
    parts_.crash.arm(parts_.random.below(10));
  }
  // The producer first, then the record.
  const std::uint64_t producer = is_exactly_once_ ? parts_.cluster.init_producer() : 0;
  parts_.crash.pass();
  const StateHistory history = read_state();
  const StartFacts facts = gather(history);
  const std::set<ErrorCode> reasons = reasons_to_refuse();
  if (facts.slot) {
    for (const std::string& key : history.outdated(facts.slot->confirmed_flush_lsn)) {
      write(key, {});
    }
  }
  const auto decision = decide_start(facts, overrides);
  if (!decision) {
    answer(decision.error(), reasons);
    return std::nullopt;
  }
  if (!reasons.empty() && !overrides.accepts_gap && !overrides.adopts_slot) {
    throw Violation("start: goes on where it should be refused with " + std::to_string(static_cast<int>(*reasons.begin())));
  }
  Started started = carry_on(facts, decision->action);
  started.producer = producer;
  return started;
}

void Starter::carry_out(Tampering what) {
  Slot& slot = parts_.slot;
  const Lsn end = parts_.database.wal_end();
  parts_.trace.note("tampering", static_cast<std::uint64_t>(what), slot.exists ? 1 : 0);
  switch (what) {
    case Tampering::kDropSlot:
      slot.exists = false;
      return;
    case Tampering::kRecreateSlot:
      slot = {.confirmed_flush = end, .restart_lsn = end, .saved = end};
      return;
    case Tampering::kAdvanceSlot: {
      const auto& committed = parts_.database.committed();
      const Lsn target =
          committed.empty() || parts_.random.percent(30)
              ? end
              : committed[committed.size() - 1 - parts_.random.below(std::min<std::size_t>(committed.size(), 20))].end_lsn;
      slot.confirm(target);
      return;
    }
    case Tampering::kWrongServer:
      if (!parts_.cluster.has_record() || overrides_.accepts_gap || overrides_.adopts_slot) {
        return;  // nobody could know; or the operator is at it, and has looked
      }
      view_ = static_cast<View>(parts_.random.between(1, 5));
      if (needs_position(view_) && !parts_.cluster.furthest().is_progress) {
        view_ = View::kOtherSystem;  // nobody could know of the others yet
      }
      return;
    case Tampering::kRecreatePublication:
      ++publication_oid_;
      return;
    case Tampering::kKillInStart:
      return;
  }
}

StateHistory Starter::read_state() const {
  StateHistory history(kPipeline);
  for (const auto& [key, value] : parts_.cluster.state()) {
    if (!history.take(key, value)) {
      throw Violation("start: cannot read a state record: " + value);
    }
  }
  return history;
}

StartFacts Starter::gather(const StateHistory& history) const {
  const Lsn end = parts_.database.wal_end();
  StartFacts facts{.slot_name = "orders_slot",
                   .publication_name = "orders_publication",
                   .server = {.system_identifier = "74",
                              .timeline = timeline_,
                              .server_version = static_cast<std::uint32_t>(server_version_) * 10'000,
                              .database = "shop",
                              .wal_position = end},
                   .publication_oid = publication_oid_,
                   .slot = std::nullopt,
                   .state_is_kept = true,
                   .record = history.newest(),
                   .switch_point = std::nullopt};
  if (parts_.slot.exists) {
    SlotState& slot = facts.slot.emplace();
    slot.plugin = "pgoutput";
    slot.slot_type = "logical";
    slot.database = slot.current_database = "shop";
    slot.confirmed_flush_lsn = parts_.slot.confirmed_flush;
    slot.restart_lsn = parts_.slot.restart_lsn;
    slot.wal_status = "reserved";
    slot.current_wal_lsn = end;
  }
  const Lsn recorded = parts_.cluster.furthest().position;
  if (view_ == View::kOtherSystem) {
    facts.server.system_identifier = "75";
  } else if (view_ == View::kOtherDatabase) {
    facts.server.database = "stock";
  } else if (view_ == View::kRestored) {
    facts.server.wal_position = Lsn{recorded.value / 2};
  } else if (view_ == View::kLowerTimeline) {
    facts.server.timeline = 1;
  } else if (view_ == View::kDiverged) {
    ++facts.server.timeline;
    facts.switch_point = Lsn{recorded.value - 1};
  }
  if (view_ != View::kDiverged && facts.record && facts.server.timeline > facts.record->timeline) {
    facts.switch_point = timeline_ends_.at(facts.record->timeline);
  }
  return facts;
}

// The table of docs/delivery.md.
std::set<ErrorCode> Starter::reasons_to_refuse() const {
  std::set<ErrorCode> reasons;
  const Recorded& record = parts_.cluster.furthest();
  const Slot& slot = parts_.slot;
  if (!parts_.cluster.has_record()) {
    return slot.exists ? std::set{ErrorCode::kSlotUnknown} : reasons;
  }
  if (view_ != View::kRight) {
    reasons.insert(ErrorCode::kServerChanged);
  }
  if (!slot.exists && record.is_progress) {
    reasons.insert(ErrorCode::kSlot);
  }
  if (slot.exists && record.is_progress && slot.confirmed_flush > record.position) {
    reasons.insert(ErrorCode::kSlotMoved);
  }
  if (slot.exists && record.publication != publication_oid_) {
    reasons.insert(ErrorCode::kPublicationChanged);
  }
  return reasons;
}

void Starter::answer(const Error& refusal, const std::set<ErrorCode>& reasons) {
  ++refusals_;
  parts_.trace.note("refused", static_cast<std::uint64_t>(refusal.code));
  parts_.crash.disarm();
  if (!reasons.contains(refusal.code)) {
    throw Violation("start: refused without that reason: " + refusal.message);
  }
  if (view_ != View::kRight) {
    view_ = View::kRight;
  } else if (refusal.code == ErrorCode::kSlotUnknown) {
    overrides_.adopts_slot = true;
  } else {
    overrides_.accepts_gap = "simulated";
  }
}

void Starter::write(const std::string& key, const std::string& value) {
  parts_.crash.pass();
  parts_.cluster.write_state(key, value);
  parts_.crash.pass();
}

Starter::Started Starter::carry_on(const StartFacts& facts, StartAction action) {
  Started started{.state = {}, .key = state_key(kPipeline, instance_of(next_instance_++))};
  if (action == StartAction::kFirstStart) {
    write(started.key, encode(intent_record(facts)));
  }
  Slot& slot = parts_.slot;
  if (!slot.exists) {
    const Lsn end = parts_.database.wal_end();
    slot = {.confirmed_flush = end, .restart_lsn = end, .saved = end};
    parts_.crash.pass();
  }
  auto record = first_record(facts, action, slot.confirmed_flush);
  if (!record) {
    throw Violation("start: " + record.error().message);
  }
  started.state = *record;
  if (action != StartAction::kRun) {
    parts_.checker.begins_at(record->progress.position);
    write(started.key, encode(*record));
  }
  return started;
}

}  // namespace outboxx::simulation
