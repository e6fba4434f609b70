// ByteReader: reads big-endian integers, bytes and C strings from a buffer, and never outside it.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace outboxx {

// A read that does not fit fails: it returns zero or an empty view, and so does all that follows. So a caller reads a whole
// message and asks once. Views point into the buffer, which must outlive them. A copy is cheap, and its members stay in
// registers where a reference's would not: hot loops work on a copy.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : begin_(bytes.data()), next_(begin_), end_(begin_ + bytes.size()) {}

  std::uint8_t read_u8() { return read_integer<std::uint8_t>(); }
  std::uint16_t read_u16() { return read_integer<std::uint16_t>(); }
  std::uint32_t read_u32() { return read_integer<std::uint32_t>(); }
  std::uint64_t read_u64() { return read_integer<std::uint64_t>(); }
  std::int32_t read_i32() { return static_cast<std::int32_t>(read_u32()); }
  std::int64_t read_i64() { return static_cast<std::int64_t>(read_u64()); }

  std::string_view read_bytes(std::size_t size) {
    if (remaining() < size) [[unlikely]] {
      fail("length exceeds the message");
      return {};
    }
    const std::string_view bytes(next_, size);
    next_ += size;
    return bytes;
  }

  // Bytes up to a zero byte, which is read too and is not part of the result.
  std::string_view read_cstring() {
    const std::size_t left = remaining();
    const void* const zero = left == 0 ? nullptr : std::memchr(next_, 0, left);
    if (zero == nullptr) [[unlikely]] {
      fail("unterminated string");
      return {};
    }
    const std::string_view text(next_, static_cast<std::size_t>(static_cast<const char*>(zero) - next_));
    next_ += text.size() + 1;
    return text;
  }

  // For faults that the caller finds. The first failure stays; reason is a literal.
  void fail(const char* reason) {
    if (failure_ == nullptr) {
      failure_ = reason;
      end_ = next_;
    }
  }

  [[nodiscard]] bool failed() const { return failure_ != nullptr; }
  // Why the first failing read failed; nullptr if none did.
  [[nodiscard]] const char* failure() const { return failure_; }
  // Bytes read so far: after a failure, where it happened.
  [[nodiscard]] std::size_t position() const { return static_cast<std::size_t>(next_ - begin_); }
  // Bytes left to read: after a failure, none.
  [[nodiscard]] std::size_t remaining() const { return static_cast<std::size_t>(end_ - next_); }

 private:
  template <std::unsigned_integral Integer>
  Integer read_integer() {
    if (remaining() < sizeof(Integer)) [[unlikely]] {
      fail("unexpected end");
      return 0;
    }
    Integer number = 0;
    std::memcpy(&number, next_, sizeof number);
    next_ += sizeof number;
    return std::endian::native == std::endian::big ? number : std::byteswap(number);
  }

  const char* begin_;
  const char* next_;
  const char* end_;
  const char* failure_ = nullptr;
};

}  // namespace outboxx
