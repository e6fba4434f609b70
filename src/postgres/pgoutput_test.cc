#include "postgres/pgoutput.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/lsn.h"
#include "base/time.h"
#include "model/change.h"
#include "model/relation.h"
#include "postgres/pgoutput_testing.h"
#include "postgres/relation_cache.h"

namespace outboxx::pgoutput {
namespace {

const std::filesystem::path kCaptures = std::filesystem::path(OUTBOXX_GOLDEN_DIR) / "pgoutput";

// "..." with all but printable ASCII as \xNN, so that an expectation is ASCII and unambiguous.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char byte : text) {
    const bool plain = byte >= ' ' && byte <= '~' && byte != '"' && byte != '\\';
    out += plain ? std::string(1, byte) : fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  }
  return out + '"';
}

std::string render(const Value& value) {
  switch (value.kind) {
    case ValueKind::kNull:
      return "null";
    case ValueKind::kUnchangedToast:
      return "unchanged";
    case ValueKind::kText:
      return in_quotes(value.bytes);
    case ValueKind::kBinary:
      return "binary " + in_quotes(value.bytes);
  }
  return "?";
}

std::string render(WallTime time) {
  return fmt::format("{:%F %T}.{:06}", std::chrono::floor<std::chrono::seconds>(time),
                     (time.time_since_epoch() % std::chrono::seconds(1)).count());
}

// Renders messages with the names that the stream gave to relations and columns before.
class Renderer {
 public:
  std::string render_message(const Message& message) {
    return std::visit([&](const auto& alternative) { return render_alternative(alternative); }, message);
  }

 private:
  static std::string render_alternative(const Begin& begin) {
    return fmt::format("begin final_lsn={} commit_time={} xid={}", to_string(begin.final_lsn), render(begin.commit_time),
                       begin.xid);
  }
  static std::string render_alternative(const Commit& commit) {
    return fmt::format("commit commit_lsn={} end_lsn={} commit_time={}", to_string(commit.commit_lsn),
                       to_string(commit.end_lsn), render(commit.commit_time));
  }
  static std::string render_alternative(const Origin& origin) {
    return fmt::format("origin commit_lsn={} name={}", to_string(origin.commit_lsn), in_quotes(origin.name));
  }
  static std::string render_alternative(const Type& type) {
    return fmt::format("type {} {}.{}", type.oid, in_quotes(type.schema), in_quotes(type.name));
  }
  std::string render_alternative(const RelationDescription& description) {
    const Relation& relation = relations_.update(description);
    std::string out = fmt::format("relation {} {} identity={} (", relation.oid, name(relation.oid),
                                  static_cast<char>(relation.replica_identity));
    for (const Column& column : relation.columns) {
      out += fmt::format("{}{}{}:{}:{}", out.ends_with('(') ? "" : ", ", column.is_key ? "*" : "", in_quotes(column.name),
                         column.type_oid, column.type_modifier);
    }
    return out + ')';
  }
  std::string render_alternative(const Insert& insert) {
    return fmt::format("insert {} new {}", name(insert.relation_oid), row(insert.relation_oid, insert.new_row));
  }
  std::string render_alternative(const Update& update) {
    return fmt::format("update {}{} new {}", name(update.relation_oid),
                       old_row(update.relation_oid, update.old_row_kind, update.old_row),
                       row(update.relation_oid, update.new_row));
  }
  std::string render_alternative(const Delete& deletion) {
    return fmt::format("delete {}{}", name(deletion.relation_oid),
                       old_row(deletion.relation_oid, deletion.old_row_kind, deletion.old_row));
  }
  std::string render_alternative(const Truncate& truncate) {
    std::string out =
        fmt::format("truncate{}{}", truncate.cascade ? " cascade" : "", truncate.restart_identity ? " restart_identity" : "");
    for (const std::uint32_t oid : truncate.relation_oids) {
      out += ' ' + name(oid);
    }
    return out;
  }
  static std::string render_alternative(const LogicalMessage& message) {
    return fmt::format("message{} lsn={} prefix={} content={}", message.transactional ? " transactional" : "",
                       to_string(message.lsn), in_quotes(message.prefix), in_quotes(message.content));
  }

  std::string name(std::uint32_t oid) const {
    const Relation* const relation = relations_.find(oid);
    return relation == nullptr ? "undescribed" : in_quotes(relation->schema) + '.' + in_quotes(relation->name);
  }
  std::string old_row(std::uint32_t oid, OldRowKind kind, Tuple tuple) const {
    switch (kind) {
      case OldRowKind::kNone:
        return tuple.empty() ? "" : " unexpected old row";
      case OldRowKind::kKey:
        return " key " + row(oid, tuple);
      case OldRowKind::kFull:
        return " old " + row(oid, tuple);
    }
    return "?";
  }
  std::string row(std::uint32_t oid, Tuple tuple) const {
    const Relation* const relation = relations_.find(oid);
    if (relation == nullptr || relation->columns.size() != tuple.size()) {
      return "of another relation";
    }
    std::string out = "(";
    for (std::size_t index = 0; index < tuple.size(); ++index) {
      out += fmt::format("{}{}={}", index == 0 ? "" : ", ", in_quotes(relation->columns[index].name), render(tuple[index]));
    }
    return out + ')';
  }

  RelationCache relations_;
};

std::string render_capture(const std::filesystem::path& path) {
  const auto messages = read_capture(path);
  if (!messages) {
    return "not a capture\n";
  }
  Decoder decoder;
  Renderer renderer;
  std::string out;
  for (const CapturedMessage& captured : *messages) {
    const auto message = decoder.decode(captured.data, captured.lsn);
    out += to_string(captured.lsn) + ' ' + (message ? renderer.render_message(**message) : message.error().message) + '\n';
  }
  return out;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The bytes of a message, for those that no server sends.
std::string big_endian(std::uint64_t number, int size) {
  std::string out;
  for (int shift = (size - 1) * 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(number >> shift));
  }
  return out;
}
std::string int16(std::uint16_t number) {
  return big_endian(number, 2);
}
std::string int32(std::uint32_t number) {
  return big_endian(number, 4);
}
std::string int64(std::uint64_t number) {
  return big_endian(number, 8);
}
std::string cstring(std::string_view text) {
  return std::string(text) + '\0';
}
std::string text_value(std::string_view text) {
  return 't' + int32(static_cast<std::uint32_t>(text.size())) + std::string(text);
}
std::string insert_of(std::initializer_list<std::string_view> values) {
  std::string out = 'I' + int32(7) + 'N' + int16(static_cast<std::uint16_t>(values.size()));
  for (const std::string_view value : values) {
    out += value;
  }
  return out;
}

std::string error_of(std::string_view data) {
  Decoder decoder;
  const auto message = decoder.decode(data, Lsn{0x1A2B3C});
  if (message) {
    return "no error";
  }
  EXPECT_EQ(message.error().code, ErrorCode::kProtocol);
  return message.error().message;
}

std::string failure(std::string_view type, std::size_t length, std::string_view reason) {
  return fmt::format("could not decode message of type \"{}\" (length {}) at LSN 0/1A2B3C: {}", type, length, reason);
}

TEST(PgoutputDecoder, DecodesWhatServersSend) {
  for (const auto& path : capture_paths(kCaptures)) {
    const std::string decoded = render_capture(path);
    auto expected_path = path;
    expected_path.replace_extension(".txt");
    if (std::getenv("OUTBOXX_UPDATE_GOLDEN") != nullptr) {
      std::ofstream(expected_path) << decoded;
    }
    EXPECT_EQ(decoded, read_file(expected_path)) << path;
  }
}

TEST(PgoutputDecoder, IsTestedWithEveryMessageOfProtocolVersion1) {
  std::set<char> types;
  for (const auto& path : capture_paths(kCaptures)) {
    const auto messages = read_capture(path);
    ASSERT_TRUE(messages) << path;
    for (const CapturedMessage& captured : *messages) {
      types.insert(captured.data.at(0));
    }
  }
  EXPECT_EQ(std::string(types.begin(), types.end()), "BCDIMORTUY");
}

TEST(PgoutputDecoder, TellsNullFromUnchangedToastFromTextThatLooksLikeThem) {
  Decoder decoder;
  const std::string data = insert_of({"n", "u", text_value("null"), text_value("u"), text_value("")});
  const Tuple row = std::get<Insert>(**decoder.decode(data, Lsn{})).new_row;
  ASSERT_EQ(row.size(), 5u);
  EXPECT_EQ(render(row[0]), "null");
  EXPECT_EQ(render(row[1]), "unchanged");
  EXPECT_EQ(render(row[2]), "\"null\"");
  EXPECT_EQ(render(row[3]), "\"u\"");
  EXPECT_EQ(render(row[4]), "\"\"");
}

TEST(PgoutputDecoder, KeepsZeroBytesInValuesAndAcceptsBinaryOnes) {
  Decoder decoder;
  const std::string data = insert_of({text_value(std::string_view("a\0b", 3)), std::string("b\0\0\0\2\0\1", 7)});
  const Tuple row = std::get<Insert>(**decoder.decode(data, Lsn{})).new_row;
  ASSERT_EQ(row.size(), 2u);
  EXPECT_EQ(render(row[0]), "\"a\\x00b\"");
  EXPECT_EQ(render(row[1]), "binary \"\\x00\\x01\"");
}

TEST(PgoutputDecoder, CallsTheEmptySchemaPgCatalog) {
  Decoder decoder;
  Renderer renderer;
  const std::string relation = 'R' + int32(1) + cstring("") + cstring("t") + 'd' + int16(0);
  EXPECT_EQ(renderer.render_message(**decoder.decode(relation, Lsn{})), "relation 1 \"pg_catalog\".\"t\" identity=d ()");
  const std::string type = 'Y' + int32(2) + cstring("") + cstring("aclitem");
  EXPECT_EQ(renderer.render_message(**decoder.decode(type, Lsn{})), "type 2 \"pg_catalog\".\"aclitem\"");
}

TEST(PgoutputDecoder, IgnoresUnknownFlagBitsWhereTheServersReaderDoes) {
  Decoder decoder;
  Renderer renderer;
  const std::string relation = 'R' + int32(1) + cstring("s") + cstring("t") + 'f' + int16(2) + '\xff' + cstring("a") +
                               int32(25) + int32(0xFFFFFFFF) + '\xfe' + cstring("b") + int32(23) + int32(8);
  EXPECT_EQ(renderer.render_message(**decoder.decode(relation, Lsn{})),
            "relation 1 \"s\".\"t\" identity=f (*\"a\":25:-1, \"b\":23:8)");
  const std::string truncate = 'T' + int32(1) + '\xfe' + int32(1);
  EXPECT_EQ(renderer.render_message(**decoder.decode(truncate, Lsn{})), "truncate restart_identity \"s\".\"t\"");
  const std::string message = 'M' + std::string(1, '\xfe') + int64(0x100000002) + cstring("p") + int32(0);
  EXPECT_EQ(renderer.render_message(**decoder.decode(message, Lsn{})), "message lsn=1/2 prefix=\"p\" content=\"\"");
}

TEST(PgoutputDecoder, PointsIntoTheDataAndReusesItsArrays) {
  Decoder decoder;
  const std::string wide = insert_of({text_value("a"), text_value("b"), text_value("c")});
  const std::string narrow = insert_of({text_value("d")});
  const Tuple first = std::get<Insert>(**decoder.decode(wide, Lsn{})).new_row;
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(first[2].bytes.data(), &wide.back());
  const Tuple second = std::get<Insert>(**decoder.decode(narrow, Lsn{})).new_row;
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second.data(), first.data());
  const Tuple third = std::get<Insert>(**decoder.decode(wide, Lsn{})).new_row;
  EXPECT_EQ(third.data(), first.data());
}

TEST(PgoutputDecoder, RefusesMessagesThatProtocolVersion1DoesNotHave) {
  for (const char type : {'S', 'E', 'c', 'A', 'b', 'P', 'K', 'r', 'p', 'i'}) {
    const std::string data = std::string(1, type) + int64(1) + int64(2);
    EXPECT_EQ(error_of(data), failure(std::string_view(&type, 1), 17, "unknown message type after 1 bytes"));
  }
  EXPECT_EQ(error_of(""), failure("", 0, "unexpected end after 0 bytes"));
  EXPECT_EQ(error_of("\x01"), failure("\\x01", 1, "unknown message type after 1 bytes"));
  EXPECT_EQ(error_of("\xff"), failure("\\xff", 1, "unknown message type after 1 bytes"));
  EXPECT_EQ(error_of("\""), failure("\\x22", 1, "unknown message type after 1 bytes"));
}

TEST(PgoutputDecoder, RefusesMalformedRows) {
  EXPECT_EQ(error_of(insert_of({text_value("a")}) + "x"), failure("I", 15, "trailing bytes after 14 bytes"));
  EXPECT_EQ(error_of(insert_of({"t\xff\xff\xff\xff"})), failure("I", 13, "length exceeds the message after 13 bytes"));
  EXPECT_EQ(error_of(insert_of({"t\x7f\xff\xff\xff"})), failure("I", 13, "length exceeds the message after 13 bytes"));
  EXPECT_EQ(error_of(insert_of({text_value("a"), "t"})), failure("I", 15, "unexpected end after 15 bytes"));
  EXPECT_EQ(error_of(insert_of({"x"})), failure("I", 9, "unknown value kind after 9 bytes"));
  EXPECT_EQ(error_of('I' + int32(7) + 'K' + int16(0)), failure("I", 8, "unknown tuple kind after 6 bytes"));
  EXPECT_EQ(error_of('D' + int32(7) + 'N' + int16(0)), failure("D", 8, "unknown tuple kind after 6 bytes"));
  EXPECT_EQ(error_of('U' + int32(7) + 'X' + int16(0)), failure("U", 8, "unknown tuple kind after 6 bytes"));
  EXPECT_EQ(error_of('U' + int32(7) + 'K' + int16(0) + 'K' + int16(0)), failure("U", 11, "unknown tuple kind after 9 bytes"));
}

TEST(PgoutputDecoder, RefusesMalformedMetadata) {
  const std::string relation = 'R' + int32(1) + cstring("s") + cstring("t");
  EXPECT_EQ(error_of(relation + 'x' + int16(0)), failure("R", 12, "unknown replica identity after 10 bytes"));
  EXPECT_EQ(error_of(relation + 'd' + int16(1) + "\1a"), failure("R", 14, "column count out of range after 12 bytes"));
  EXPECT_EQ(error_of('Y' + int32(1) + "public"), failure("Y", 11, "unterminated string after 5 bytes"));
  EXPECT_EQ(error_of('C' + std::string(1, '\1') + std::string(24, '\0')),
            failure("C", 26, "unknown commit flags after 2 bytes"));
  EXPECT_EQ(error_of('T' + int32(2) + '\0' + int32(1)), failure("T", 10, "relation count out of range after 6 bytes"));
  EXPECT_EQ(error_of('T' + int32(0xFFFFFFFF) + '\0'), failure("T", 6, "relation count out of range after 6 bytes"));
  EXPECT_EQ(error_of('M' + std::string(1, '\0') + int64(1) + cstring("p") + int32(2) + "c"),
            failure("M", 17, "length exceeds the message after 16 bytes"));
}

TEST(PgoutputDecoder, Takes1600ColumnsAndNotOneMore) {
  const auto insert_of_nulls = [](std::uint16_t count) {
    return 'I' + int32(7) + 'N' + int16(count) + std::string(count, 'n');
  };
  Decoder decoder;
  const std::string widest = insert_of_nulls(1600);
  EXPECT_EQ(std::get<Insert>(**decoder.decode(widest, Lsn{})).new_row.size(), 1600u);
  EXPECT_EQ(error_of(insert_of_nulls(1601)), failure("I", 1609, "column count out of range after 6 bytes"));
  EXPECT_EQ(error_of(insert_of_nulls(0xFFFF)), failure("I", 65543, "column count out of range after 6 bytes"));
}

}  // namespace
}  // namespace outboxx::pgoutput
