#include "serve/access/api_keys.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/file.h"
#include "base/test_util.h"
#include "serve/access/rate_limit.h"

namespace qwen25 {
namespace {

KeyRights Chat(const std::string& name) {
  return {.name = name, .scopes = static_cast<uint8_t>(Scope::kChat)};
}

TEST(ApiKeysTest, OnlyTheKeysThemselvesAreFound) {
  ApiKeys keys;
  ASSERT_OK_AND_ASSIGN(const std::string alice, keys.Add(Chat("alice")));
  ASSERT_OK_AND_ASSIGN(const std::string bob, keys.Add(Chat("bob")));
  EXPECT_NE(alice, bob);
  ASSERT_NE(keys.Find(alice), nullptr);
  EXPECT_EQ(keys.Find(alice)->name, "alice");
  EXPECT_EQ(keys.Find(bob)->name, "bob");
  EXPECT_EQ(keys.Find(""), nullptr);
  EXPECT_EQ(keys.Find(alice.substr(0, alice.size() - 1)), nullptr);
  EXPECT_EQ(keys.Find(alice + "A"), nullptr);
  EXPECT_OK(keys.Remove("alice"));
  EXPECT_EQ(keys.Find(alice), nullptr);
  EXPECT_EQ(keys.Find(bob)->name, "bob");
  EXPECT_ERROR_CONTAINS(keys.Remove("alice"), "no key \"alice\"");
}

TEST(ApiKeysTest, AFileHoldsRightsAndHashesButNoKey) {
  const TemporaryDirectory folder;
  const std::filesystem::path path = folder.path() / "keys.json";
  ApiKeys keys;
  ASSERT_OK_AND_ASSIGN(const std::string key, keys.Add({.name = "Ærø",
                                                        .scopes = 5,
                                                        .namespaces = {"a", "b c"},
                                                        .requests_per_minute = 7,
                                                        .tokens_per_minute = 1000,
                                                        .max_priority = -2}));
  ASSERT_OK(keys.Add(Chat("plain")).status());
  ASSERT_OK(keys.Save(path));
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(path));
  EXPECT_EQ(text.find(key), std::string::npos);
  EXPECT_EQ(text.find(key.substr(3, 20)), std::string::npos);
  ASSERT_OK_AND_ASSIGN(const ApiKeys again, ApiKeys::Load(path));
  const KeyRights* rights = again.Find(key);
  ASSERT_NE(rights, nullptr);
  EXPECT_EQ(rights->name, "Ærø");
  EXPECT_TRUE(rights->Has(Scope::kChat) && rights->Has(Scope::kAdmin) && !rights->Has(Scope::kMemory));
  EXPECT_EQ(ScopeNames(rights->scopes), "chat, admin");
  EXPECT_EQ(rights->namespaces, (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ(rights->requests_per_minute, 7u);
  EXPECT_EQ(rights->tokens_per_minute, 1000u);
  EXPECT_EQ(rights->max_priority, -2);
}

TEST(ApiKeysTest, NamespacesAreThoseOfTheKey) {
  KeyRights rights = Chat("alice");
  EXPECT_TRUE(rights.MayUse("alice"));
  EXPECT_FALSE(rights.MayUse("default"));
  EXPECT_EQ(rights.DefaultNamespace(), "alice");
  rights.namespaces = {"work", "home"};
  EXPECT_FALSE(rights.MayUse("alice"));
  EXPECT_TRUE(rights.MayUse("home"));
  EXPECT_EQ(rights.DefaultNamespace(), "work");
}

TEST(ApiKeysTest, KeysWithoutSenseAreRefused) {
  ApiKeys keys;
  ASSERT_OK(keys.Add(Chat("alice")).status());
  EXPECT_ERROR_CONTAINS(keys.Add(Chat("alice")), "\"alice\" already");
  EXPECT_ERROR_CONTAINS(keys.Add(Chat("")), "0 bytes");
  EXPECT_ERROR_CONTAINS(keys.Add(Chat("a\nb")), "control character");
  EXPECT_ERROR_CONTAINS(keys.Add({.name = "b"}), "no scope");
  EXPECT_ERROR_CONTAINS(keys.Add({.name = "b", .scopes = 1, .namespaces = {""}}), "namespace is empty");
}

TEST(ApiKeysTest, DamagedFilesNameTheEntry) {
  const std::string hash(64, 'a');
  const auto entry = [&](const std::string& fields) { return "{\"keys\": [{" + fields + "}]}"; };
  const std::string good = "\"name\": \"a\", \"hash\": \"" + hash + "\", \"scopes\": [\"chat\"]";
  EXPECT_OK(ApiKeys::Parse(entry(good), "k").status());
  const std::pair<std::string, std::string> cases[] = {
      {"", "k:"},
      {"[]", "list \"keys\""},
      {"{\"keys\": {}}", "list \"keys\""},
      {"{\"keys\": [3]}", "key 1: is not an object"},
      {entry(good + ", \"scope\": 1"), "key 1: \"scope\" is no field"},
      {entry("\"name\": \"a\", \"hash\": \"" + hash + "\""), "no scope"},
      {entry("\"name\": \"a\", \"hash\": \"" + hash + "\", \"scopes\": [\"root\"]"), "\"root\" is no scope"},
      {entry("\"name\": \"a\", \"hash\": \"" + hash + "\", \"scopes\": [1]"), "something other than text"},
      {entry("\"name\": \"a\", \"hash\": \"" + hash.substr(2) + "\", \"scopes\": [\"chat\"]"),
       "64 hexadecimal"},
      {entry("\"name\": \"a\", \"hash\": \"" + hash + "aa\", \"scopes\": [\"chat\"]"), "64 hexadecimal"},
      {entry("\"name\": \"a\", \"hash\": \"" + std::string(64, 'x') + "\", \"scopes\": [\"chat\"]"),
       "64 hexadecimal"},
      {entry(good + ", \"requests_per_minute\": -1"), "requests_per_minute"},
      {entry(good + ", \"max_priority\": 1e9"), "max_priority"},
      {"{\"keys\": [{" + good + "}, {" + good + "}]}", "key 2: there is a key named \"a\" already"},
  };
  for (const auto& [text, what] : cases) EXPECT_ERROR_CONTAINS(ApiKeys::Parse(text, "k"), what);
}

TEST(RateLimitTest, LetsThroughWhatAMinuteBrings) {
  RateLimit limit(60, 100);
  for (int i = 0; i < 60; ++i) {
    EXPECT_FALSE(limit.Wait(100));
    limit.Take(100, 1);
  }
  EXPECT_NEAR(limit.Wait(100).value(), 1, 1e-9);
  EXPECT_NEAR(limit.Wait(100.5).value(), 0.5, 1e-9);
  EXPECT_FALSE(limit.Wait(101));
  EXPECT_FALSE(RateLimit(0, 0).Wait(0));
}

TEST(RateLimitTest, NoMoreThanThePaceInTheLongRun) {
  EXPECT_TRUE(rc::check("over any time, a minute's amount more than the pace", [] {
    const auto per_minute = *rc::gen::inRange(1, 100);
    RateLimit limit(per_minute, 0);
    double now = 0, taken = 0;
    for (const int wait : *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 5000))) {
      now += wait / 1000.0;
      if (limit.Wait(now)) continue;
      limit.Take(now, 1);
      ++taken;
      RC_ASSERT(taken <= per_minute * (1 + now / 60) + 1e-6);
    }
  }));
}

TEST(RateLimitTest, DebtsArePaidBack) {
  RateLimit limit(600, 0);
  limit.Take(0, 1200);
  EXPECT_NEAR(limit.Wait(0).value(), 60.1, 1e-9);
  EXPECT_FALSE(limit.Wait(61));
  EXPECT_FALSE(
      RateLimit(10, 0).Wait(0, 1000));  // a request larger than a minute's amount passes when all is there
}

}  // namespace
}  // namespace qwen25
