// EventId: an event's identity (C(T), ordinal, part), for consumers that drop duplicates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/lsn.h"

namespace outboxx {

// Stable over restarts for a fixed publication and server version; per partition it strictly rises, replays aside, so a
// consumer drops what is not above the highest it has seen.
struct EventId {
  Lsn commit_lsn;             // start of the commit record, known from Begin
  std::uint64_t ordinal = 0;  // index of the change in its transaction
  std::uint32_t part = 0;     // index of the record among those made of one change
};

// "00000000019A2B3C-000000000001-0000": hex of fixed width, so that ids compare as bytes.
inline constexpr std::size_t kEventIdSize = 34;
inline void append_event_id(std::string& out, const EventId& id) {
  char text[kEventIdSize];
  char* end = text;
  const auto write_hex = [&end](std::uint64_t number, int digits) {
    for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) {
      *end++ = "0123456789ABCDEF"[number >> shift & 15];
    }
  };
  write_hex(id.commit_lsn.value, 16);
  *end++ = '-';
  write_hex(id.ordinal, 12);
  *end++ = '-';
  write_hex(id.part, 4);
  out.append(text, end);
}

}  // namespace outboxx
