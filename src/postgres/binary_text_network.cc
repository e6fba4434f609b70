// inet, cidr, macaddr and macaddr8.
//
//   inet, cidr  family:Int8(2 or 3) bits:Int8 is_cidr:Int8 size:Int8(4 or 16) Byte{size}
//   macaddr     Byte{6}
//   macaddr8    Byte{8}
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/byte_reader.h"
#include "postgres/binary_text_types.h"

namespace outboxx::binary_text {
namespace {

constexpr std::uint8_t kFamilyIpv4 = 2;
constexpr std::uint8_t kFamilyIpv6 = 3;

struct Network {
  std::uint8_t bits = 0;
  std::string_view address;  // 4 or 16 bytes; empty if malformed
};

Network read_network(std::string_view bytes) {
  ByteReader reader(bytes);
  const std::uint8_t family = reader.read_u8();
  const std::uint8_t bits = reader.read_u8();
  reader.read_u8();  // is_cidr: the column's type says it
  const std::size_t size = reader.read_u8();
  const std::string_view address = reader.read_bytes(size);
  const bool is_ipv4 = family == kFamilyIpv4 && size == 4;
  const bool is_ipv6 = family == kFamilyIpv6 && size == 16;
  if (reader.failed() || reader.remaining() != 0 || (!is_ipv4 && !is_ipv6) || bits > size * 8) {
    return {};
  }
  return {.bits = bits, .address = address};
}

char* write_number(char* out, std::uint32_t number, int base = 10) {
  return std::to_chars(out, out + 10, number, base).ptr;
}

char* write_ipv4(char* out, std::string_view address) {
  for (std::size_t index = 0; index < address.size(); ++index) {
    if (index > 0) {
      *out++ = '.';
    }
    out = write_number(out, static_cast<unsigned char>(address[index]));
  }
  return out;
}

// Words of zeros that "::" stands for.
struct Zeros {
  std::size_t begin = 0;
  std::size_t size = 0;
};

// The longest run of at least two, the first one if several are as long.
Zeros longest_zeros(std::string_view address) {
  Zeros best;
  Zeros run;
  for (std::size_t word = 0; word < 8; ++word) {
    if (load<std::uint16_t>(address, word * 2) != 0) {
      run = {.begin = word + 1, .size = 0};
    } else if (++run.size > best.size) {
      best = run;
    }
  }
  return best.size >= 2 ? best : Zeros{.begin = 8, .size = 0};
}

// (PostgreSQL: port/inet_net_ntop.c) An IPv4 address ends what is mapped (::ffff:0:0/96) or compatible (::/96).
char* write_ipv6(char* out, std::string_view address) {
  const Zeros zeros = longest_zeros(address);
  const bool is_mapped = zeros.size == 5 && load<std::uint16_t>(address, 10) == 0xFFFF;
  const bool has_ipv4 = zeros.begin == 0 && (zeros.size == 6 || is_mapped);
  for (std::size_t word = 0; word < 8; ++word) {
    if (word > 0 || zeros.begin == 0) {
      *out++ = ':';
    }
    if (word == zeros.begin) {
      word += zeros.size - 1;
      if (word == 7) {
        *out++ = ':';
      }
    } else if (word == 6 && has_ipv4) {
      return write_ipv4(out, address.substr(12));
    } else {
      out = write_number(out, load<std::uint16_t>(address, word * 2), 16);
    }
  }
  return out;
}

Text network_text(std::string_view bytes, bool always_bits, std::string& scratch) {
  const Network network = read_network(bytes);
  if (network.address.empty()) {
    return {};
  }
  constexpr std::size_t kSizeMax = 64;
  return write_text(scratch, kSizeMax, [&](char* out) {
    const bool is_ipv4 = network.address.size() == 4;
    out = is_ipv4 ? write_ipv4(out, network.address) : write_ipv6(out, network.address);
    if (always_bits || network.bits != network.address.size() * 8) {
      *out++ = '/';
      out = write_number(out, network.bits);
    }
    return out;
  });
}

}  // namespace

Text inet_text(std::string_view bytes, std::string& scratch) {
  return network_text(bytes, false, scratch);
}

Text cidr_text(std::string_view bytes, std::string& scratch) {
  return network_text(bytes, true, scratch);
}

Text macaddr_text(std::string_view bytes, std::string& scratch) {
  return write_text(scratch, bytes.size() * 3, [bytes](char* out) {
    for (std::size_t index = 0; index < bytes.size(); ++index) {
      out = write_hex(out, bytes.substr(index, 1));
      *out++ = ':';
    }
    return out - 1;
  });
}

}  // namespace outboxx::binary_text
