// The types of dates and times (PostgreSQL: utils/adt/datetime.c, EncodeDateOnly and its neighbours).
//
//   date                    days:Int32          since 2000-01-01
//   time                    microseconds:Int64  since midnight; 24:00:00 is one of them
//   timetz                  microseconds:Int64 zone:Int32     seconds west of UTC
//   timestamp, timestamptz  microseconds:Int64  since 2000-01-01 00:00:00, of UTC for timestamptz
//   interval                microseconds:Int64 days:Int32 months:Int32
//
// The least and the greatest number are -infinity and infinity, in date and the timestamps; in interval, if all three are.
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>

#include "postgres/binary_text_types.h"

namespace outboxx::binary_text {
namespace {

constexpr std::int64_t kSecondUs = 1'000'000;
constexpr std::int64_t kMinuteUs = 60 * kSecondUs;
constexpr std::int64_t kHourUs = 60 * kMinuteUs;
constexpr std::int64_t kDayUs = 24 * kHourUs;

constexpr std::string_view kInfinity = "infinity";
constexpr std::string_view kMinusInfinity = "-infinity";

constexpr std::size_t kDateSizeMax = 24;
constexpr std::size_t kTimestampSizeMax = 64;
constexpr std::size_t kIntervalSizeMax = 128;

struct Civil {
  std::int64_t year = 0;  // 0 is 1 BC
  std::uint32_t month = 0;
  std::uint32_t day = 0;
};

// days since 2000-01-01. Years begin in March here, so that the leap day is the last one, and an era is 400 of them, which
// repeat (Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, civil_from_days).
Civil civil_of(std::int64_t days) {
  constexpr std::int64_t kDaysOfEra = 146'097;
  const std::int64_t since_year_0 = days + 730'425;
  const std::int64_t era = (since_year_0 >= 0 ? since_year_0 : since_year_0 - (kDaysOfEra - 1)) / kDaysOfEra;
  const auto day_of_era = static_cast<std::uint32_t>(since_year_0 - era * kDaysOfEra);
  const std::uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::uint32_t month = (5 * day_of_year + 2) / 153;
  const bool is_next_year = month >= 10;
  return {.year = era * 400 + year_of_era + (is_next_year ? 1 : 0),
          .month = is_next_year ? month - 9 : month + 3,
          .day = day_of_year - (153 * month + 2) / 5 + 1};
}

// At least four digits of the year; "BC" is written by write_era(), at the very end of a text.
char* write_date(char* out, const Civil& date) {
  const auto year = static_cast<std::uint64_t>(date.year > 0 ? date.year : 1 - date.year);
  if (year < 10'000) {
    out = write_two_digits(out, static_cast<std::uint32_t>(year / 100));
    out = write_two_digits(out, static_cast<std::uint32_t>(year % 100));
  } else {
    out = std::to_chars(out, out + 20, year).ptr;
  }
  *out++ = '-';
  out = write_two_digits(out, date.month);
  *out++ = '-';
  return write_two_digits(out, date.day);
}

char* write_era(char* out, const Civil& date) {
  return date.year > 0 ? out : write_literal(out, " BC");
}

// "05.06": of the fraction as many digits as are needed. seconds < 100.
char* write_seconds(char* out, std::uint32_t seconds, std::uint32_t microseconds) {
  out = write_two_digits(out, seconds);
  if (microseconds == 0) {
    return out;
  }
  *out++ = '.';
  out = write_two_digits(out, microseconds / 10'000);
  out = write_two_digits(out, microseconds / 100 % 100);
  out = write_two_digits(out, microseconds % 100);
  while (out[-1] == '0') {
    --out;
  }
  return out;
}

// "03:04:05.06", of [0, 100 hours). Divides 32-bit numbers where it can: timestamps are frequent.
char* write_time(char* out, std::int64_t microseconds) {
  const auto seconds = static_cast<std::uint32_t>(microseconds / kSecondUs);
  const auto fraction = static_cast<std::uint32_t>(microseconds % kSecondUs);
  out = write_two_digits(out, seconds / 3600);
  *out++ = ':';
  out = write_two_digits(out, seconds / 60 % 60);
  *out++ = ':';
  return write_seconds(out, seconds % 60, fraction);
}

// "+05", "-05:30", "+00:19:32": PostgreSQL counts west, ISO 8601 east.
char* write_zone(char* out, std::int32_t seconds_west) {
  *out++ = seconds_west <= 0 ? '+' : '-';
  const auto seconds = static_cast<std::uint32_t>(std::abs(seconds_west));
  out = write_two_digits(out, seconds / 3600);
  if (seconds % 3600 != 0) {
    *out++ = ':';
    out = write_two_digits(out, seconds / 60 % 60);
  }
  if (seconds % 60 != 0) {
    *out++ = ':';
    out = write_two_digits(out, seconds % 60);
  }
  return out;
}

bool is_time_of_day(std::int64_t microseconds) {
  return microseconds >= 0 && microseconds <= kDayUs;
}

Text timestamp_with_zone(std::string_view bytes, std::string_view zone, std::string& scratch) {
  const auto microseconds = load<std::int64_t>(bytes);
  if (microseconds == std::numeric_limits<std::int64_t>::max()) {
    return kInfinity;
  }
  if (microseconds == std::numeric_limits<std::int64_t>::min()) {
    return kMinusInfinity;
  }
  return write_text(scratch, kTimestampSizeMax, [=](char* out) {
    const std::int64_t remainder = microseconds % kDayUs;
    const bool is_before = remainder < 0;  // division rounds towards zero, days begin at midnight
    const Civil date = civil_of(microseconds / kDayUs - (is_before ? 1 : 0));
    out = write_date(out, date);
    *out++ = ' ';
    out = write_time(out, remainder + (is_before ? kDayUs : 0));
    return write_era(write_literal(out, zone), date);
  });
}

// IntervalStyle "postgres": "1 year -2 mons +3 days -04:05:06.7". A part that follows a negative one shows its plus sign.
class IntervalWriter {
 public:
  explicit IntervalWriter(char* out) : out_(out) {}

  void write_part(std::int64_t number, std::string_view unit) {
    if (number == 0) {
      return;
    }
    write_space();
    if (after_negative_ && number > 0) {
      *out_++ = '+';
    }
    out_ = std::to_chars(out_, out_ + 20, number).ptr;
    *out_++ = ' ';
    out_ = write_literal(out_, unit);
    if (number != 1) {
      *out_++ = 's';
    }
    after_negative_ = number < 0;
    is_empty_ = false;
  }

  char* finish(std::int64_t microseconds) {
    if (microseconds == 0 && !is_empty_) {
      return out_;
    }
    write_space();
    if (microseconds < 0) {
      *out_++ = '-';
    } else if (after_negative_) {
      *out_++ = '+';
    }
    // Part by part, because the least number has no positive one.
    const std::int64_t hours = std::abs(microseconds / kHourUs);
    const std::int64_t rest = std::abs(microseconds % kHourUs);
    if (hours < 100) {
      out_ = write_two_digits(out_, static_cast<std::uint32_t>(hours));
    } else {
      out_ = std::to_chars(out_, out_ + 20, hours).ptr;
    }
    *out_++ = ':';
    out_ = write_two_digits(out_, static_cast<std::uint32_t>(rest / kMinuteUs));
    *out_++ = ':';
    return write_seconds(out_, static_cast<std::uint32_t>(rest % kMinuteUs / kSecondUs),
                         static_cast<std::uint32_t>(rest % kSecondUs));
  }

 private:
  void write_space() {
    if (!is_empty_) {
      *out_++ = ' ';
    }
  }

  char* out_;
  bool is_empty_ = true;
  bool after_negative_ = false;
};

}  // namespace

Text date_text(std::string_view bytes, std::string& scratch) {
  const auto days = load<std::int32_t>(bytes);
  if (days == std::numeric_limits<std::int32_t>::max()) {
    return kInfinity;
  }
  if (days == std::numeric_limits<std::int32_t>::min()) {
    return kMinusInfinity;
  }
  return write_text(scratch, kDateSizeMax, [days](char* out) {
    const Civil date = civil_of(days);
    return write_era(write_date(out, date), date);
  });
}

Text time_text(std::string_view bytes, std::string& scratch) {
  const auto microseconds = load<std::int64_t>(bytes);
  if (!is_time_of_day(microseconds)) {
    return {};
  }
  return write_text(scratch, kTimestampSizeMax, [=](char* out) { return write_time(out, microseconds); });
}

Text timetz_text(std::string_view bytes, std::string& scratch) {
  constexpr std::int32_t kZoneEnd = 16 * 3600;  // (PostgreSQL: datatype/timestamp.h, TZDISP_LIMIT)
  const auto microseconds = load<std::int64_t>(bytes);
  const auto zone = load<std::int32_t>(bytes, 8);
  if (!is_time_of_day(microseconds) || zone <= -kZoneEnd || zone >= kZoneEnd) {
    return {};
  }
  return write_text(scratch, kTimestampSizeMax, [=](char* out) { return write_zone(write_time(out, microseconds), zone); });
}

Text timestamp_text(std::string_view bytes, std::string& scratch) {
  return timestamp_with_zone(bytes, "", scratch);
}

Text timestamptz_utc_text(std::string_view bytes, std::string& scratch) {
  return timestamp_with_zone(bytes, "+00", scratch);
}

Text interval_text(std::string_view bytes, std::string& scratch) {
  const auto is_all = [bytes](std::int64_t microseconds, std::int32_t number) {
    return load<std::int64_t>(bytes) == microseconds && load<std::int32_t>(bytes, 8) == number &&
           load<std::int32_t>(bytes, 12) == number;
  };
  if (is_all(std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int32_t>::max())) {
    return kInfinity;
  }
  if (is_all(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int32_t>::min())) {
    return kMinusInfinity;
  }
  return finite_interval_text(bytes, scratch);
}

Text finite_interval_text(std::string_view bytes, std::string& scratch) {
  const auto months = load<std::int32_t>(bytes, 12);
  return write_text(scratch, kIntervalSizeMax, [&](char* out) {
    IntervalWriter writer(out);
    writer.write_part(months / 12, "year");
    writer.write_part(months % 12, "mon");
    writer.write_part(load<std::int32_t>(bytes, 8), "day");
    return writer.finish(load<std::int64_t>(bytes));
  });
}

}  // namespace outboxx::binary_text
