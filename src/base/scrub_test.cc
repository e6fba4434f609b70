#include "base/scrub.h"

#include <gtest/gtest.h>

#include <string>

namespace outboxx {
namespace {

TEST(ScrubSecrets, LeavesOtherTextAlone) {
  for (const std::string text : {"", "password authentication failed for user \"app\"", "missing password: see password_env",
                                 "password_env = \"PGPASSWORD\"", "http://example.org:80/path?x=y", "a@b: user:name@host",
                                 "ssl://broker:9093/1: Connect to ipv4#10.0.0.1:9093 failed", "password", "password="}) {
    EXPECT_EQ(scrub_secrets(text), text);
  }
}

TEST(ScrubSecrets, HidesValuesOfConnectionStrings) {
  EXPECT_EQ(scrub_secrets("host=db password=hunter2 user=app"), "host=db password=*** user=app");
  EXPECT_EQ(scrub_secrets("host=db PASSWORD = hunter2"), "host=db PASSWORD = ***");
  EXPECT_EQ(scrub_secrets("password='hun ter\\'2' user=app"), "password=*** user=app");
  EXPECT_EQ(scrub_secrets("password='hun ter2 user=app"), "password=***");
  EXPECT_EQ(scrub_secrets("sslpassword=a,b;c&d passwd=e"), "sslpassword=*** passwd=***");
  EXPECT_EQ(scrub_secrets("password=a password=b"), "password=*** password=***");
}

TEST(ScrubSecrets, HidesValuesOfKafkaProperties) {
  EXPECT_EQ(scrub_secrets("sasl.password=hunter2"), "sasl.password=***");
  EXPECT_EQ(scrub_secrets("sasl.password: hunter2"), "sasl.password: ***");
  EXPECT_EQ(scrub_secrets("\"sasl.password\" = \"hun ter2\" # note"), "\"sasl.password\" = *** # note");
  EXPECT_EQ(scrub_secrets("{\"password\":\"hunter2\",\"user\":\"app\"}"), "{\"password\":***,\"user\":\"app\"}");
  EXPECT_EQ(scrub_secrets("sasl.oauthbearer.client.secret=abc"), "sasl.oauthbearer.client.secret=***");
}

TEST(ScrubSecrets, HidesThePasswordOfUrls) {
  EXPECT_EQ(scrub_secrets("postgres://app:hunter2@db:5432/shop"), "postgres://app:***@db:5432/shop");
  EXPECT_EQ(scrub_secrets("postgres://app:hun/t@er:2@db/shop and more"), "postgres://app:***@db/shop and more");
  EXPECT_EQ(scrub_secrets("postgres://:hunter2@db"), "postgres://:***@db");
  EXPECT_EQ(scrub_secrets("postgres://app@db:5432/shop"), "postgres://app@db:5432/shop");
  EXPECT_EQ(scrub_secrets("a://u:p@h b://u:p@h"), "a://u:***@h b://u:***@h");
  EXPECT_EQ(scrub_secrets("postgres://app@db/shop?password=hunter2&x=y"), "postgres://app@db/shop?password=***");
}

TEST(ScrubSecrets, HidesPrivateKeys) {
  EXPECT_EQ(scrub_secrets("bad key: -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"), "bad key: ***");
}

TEST(ScrubSecrets, EndsOnEveryPrefixAndLeaksNoneOfThePassword) {
  const std::string text = "x://u:zzzz@h password='zzzz' \"sasl.password\": \"zzzz\" -----BEGIN PRIVATE KEY-----zzzz";
  for (std::size_t size = 0; size <= text.size(); ++size) {
    const std::string scrubbed = scrub_secrets(text.substr(0, size));
    if (size > text.find('@')) {
      EXPECT_EQ(scrubbed.find("zz"), std::string::npos) << scrubbed;
    }
  }
}

TEST(NamesSecret, GoesByTheEndOfTheName) {
  EXPECT_TRUE(names_secret("password"));
  EXPECT_TRUE(names_secret("sasl.Password"));
  EXPECT_FALSE(names_secret("password_env"));
  EXPECT_FALSE(names_secret("slot"));
}

}  // namespace
}  // namespace outboxx
