#include "base/log_line.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "base/lsn.h"

namespace outboxx::log {
namespace {

std::string text(std::string_view message, Fields fields = {}, Level level = Level::kInfo) {
  return render_line({}, level, message, fields);
}

std::string json(std::string_view message, Fields fields = {}, Level level = Level::kInfo) {
  return render_line({.format = LogFormat::kJson}, level, message, fields);
}

TEST(LogLine, TextIsLevelMessageAndFields) {
  EXPECT_EQ(text("streaming", {{"slot", "orders"}, {"lsn", Lsn{0x16B374D848}}, {"count", -3}}),
            "INFO  streaming slot=orders lsn=16/B374D848 count=-3");
  EXPECT_EQ(text("m", {}, Level::kTrace), "TRACE m");
  EXPECT_EQ(text("m", {}, Level::kDebug), "DEBUG m");
  EXPECT_EQ(text("m", {}, Level::kWarn), "WARN  m");
  EXPECT_EQ(text("m", {}, Level::kError), "ERROR m");
}

TEST(LogLine, TextQuotesValuesThatNeedIt) {
  EXPECT_EQ(text("m", {{"a", "two words"}, {"b", ""}, {"c", "x=y"}, {"d", R"(say "hi" \o/)"}, {"e", "a.b:c/d-e_f"}}),
            R"(INFO  m a="two words" b="" c="x=y" d="say \"hi\" \\o/" e=a.b:c/d-e_f)");
}

TEST(LogLine, JsonIsTheRestOfAnObject) {
  EXPECT_EQ(json("streaming", {{"slot", "orders"}, {"lsn", Lsn{0x16B374D848}}, {"count", 3U}}, Level::kWarn),
            R"("level":"warn","message":"streaming","slot":"orders","lsn":"16/B374D848","count":3})");
  EXPECT_EQ(json(R"(say "hi" \o/)"), R"("level":"info","message":"say \"hi\" \\o/"})");
}

TEST(LogLine, EscapesWhatTerminalsAndReadersActOn) {
  const std::string hostile = "a\nERROR b\r\t\x1b[2J\x7f\xc2\x9b\xe2\x80\xae\xe2\x80\xa8\xef\xbb\xbf" + std::string(1, '\0');
  const std::string escaped = R"(a\nERROR b\r\t\u001b[2J\u007f\u009b\u202e\u2028\ufeff\u0000)";
  EXPECT_EQ(text(hostile), "INFO  " + escaped);
  EXPECT_EQ(text("m", {{"k", hostile}}), "INFO  m k=\"" + escaped + "\"");
  EXPECT_EQ(json(hostile), R"("level":"info","message":")" + escaped + "\"}");
  EXPECT_EQ(text("m", {{"k\n", 1}}), "INFO  m k\\n=1");
}

TEST(LogLine, KeepsUtf8AndReplacesWhatIsNone) {
  EXPECT_EQ(text("Gr\xc3\xbc\xc3\x9f"
                 "e \xf0\x9f\x98\x80"),
            "INFO  Gr\xc3\xbc\xc3\x9f"
            "e \xf0\x9f\x98\x80");
  for (const std::string_view bad : {"\xff", "\xc3", "\x80"}) {
    EXPECT_EQ(json(bad), "\"level\":\"info\",\"message\":\"\xef\xbf\xbd\"}");
  }
  EXPECT_EQ(text("\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x82"),
            "INFO  \\xc0\\xaf|\\xed\\xa0\\x80|\\xf4\\x90\\x80\\x80|\\xe2\\x82");
}

TEST(LogLine, HidesSecretsInMessagesAndValues) {
  EXPECT_EQ(text("bad: password=hunter2", {{"url", "postgres://app:hunter2@db"}, {"sasl.password", "hunter2"}}),
            "INFO  bad: password=*** url=postgres://app:***@db sasl.password=***");
  EXPECT_EQ(json("bad: password=hunter2", {{"password", 42}}),
            R"("level":"info","message":"bad: password=***","password":"***"})");
}

TEST(LogLine, CutsLongLinesWithinTheLimit) {
  const std::string long_text(500, 'x');
  EXPECT_EQ(render_line({.max_bytes = 128}, Level::kInfo, long_text, {{"k", "v"}}), "INFO  " + std::string(106, 'x') + "...");
  EXPECT_EQ(render_line({.max_bytes = 128}, Level::kInfo, "m", {{"k", long_text + " "}}),
            "INFO  m k=\"" + std::string(101, 'x') + "...\"");
  EXPECT_EQ(render_line({.max_bytes = 128}, Level::kInfo, "m", {{"k", "v"}, {long_text, 1}, {"l", 1}}), "INFO  m k=v ...");
  EXPECT_EQ(render_line({.format = LogFormat::kJson, .max_bytes = 128}, Level::kInfo, long_text, {{"k", "v"}}),
            R"("level":"info","message":")" + std::string(86, 'x') + R"(...","cut":true})");
  EXPECT_EQ(render_line({.format = LogFormat::kJson, .max_bytes = 128}, Level::kInfo, "m", {{"k", "v"}, {long_text, 1}}),
            R"("level":"info","message":"m","k":"v","cut":true})");
}

TEST(LogLine, NeverExceedsTheLimitNorCutsACharacter) {
  const std::string text_of_all = "a\n\x1b\"\\\xc3\xbc\xf0\x9f\x98\x80\xff";
  std::string message;
  for (int size = 0; size < 200; ++size) {
    for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
      const std::string line = render_line({.format = format, .max_bytes = 128}, Level::kInfo, message,
                                           {{"key", message}, {"number", 18446744073709551615U}, {"last", ""}});
      EXPECT_LE(line.size(), 128U);
      if (format == LogFormat::kJson) {
        EXPECT_TRUE(line.ends_with("}")) << line;
        EXPECT_EQ(render_line({}, Level::kInfo, line, {}).find("\\x"), std::string::npos) << "not UTF-8: " << line;
      }
    }
    message += text_of_all[static_cast<std::size_t>(size) % text_of_all.size()];
  }
}

TEST(Printable, LeavesNothingThatATerminalActsOnAndNoSecret) {
  EXPECT_EQ(printable("table \"a\nERROR b\x1b[31m\xff\" \xe2\x80\xae\u00e9"),
            "table \"a\\nERROR b\\u001b[31m\\xff\" \\u202e\u00e9");
  EXPECT_EQ(printable("could not use password=hunter2 here"), "could not use password=*** here");
}

}  // namespace
}  // namespace outboxx::log
