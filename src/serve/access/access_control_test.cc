#include "serve/access/access_control.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

using Verdict = AccessControl::Verdict;

class AccessControlTest : public testing::Test {
 protected:
  void Write(const std::vector<KeyRights>& all) {
    ApiKeys keys;
    keys_.clear();
    for (const KeyRights& rights : all) keys_.push_back(keys.Add(rights).value());
    ASSERT_OK(keys.Save(path_));
  }
  Verdict Admit(const std::string& key, Scope scope = Scope::kChat, double now = 0) {
    return access_->Admit(key, scope, now).verdict;
  }

  const TemporaryDirectory folder_;
  const std::string path_ = folder_ / "keys.json";
  std::vector<std::string> keys_;
  std::unique_ptr<AccessControl> access_;
};

TEST_F(AccessControlTest, WithoutKeysEverybodyMayDoEverything) {
  ASSERT_OK_AND_ASSIGN(access_, AccessControl::Open(""));
  EXPECT_FALSE(access_->needs_key());
  EXPECT_EQ(access_->Admit(std::nullopt, Scope::kAdmin, 0).verdict, Verdict::kAdmitted);
  EXPECT_OK(access_->Reload());
}

TEST_F(AccessControlTest, KeysMayDoWhatTheirScopesSay) {
  Write({{.name = "chat", .scopes = 1}, {.name = "admin", .scopes = 4}});
  ASSERT_OK_AND_ASSIGN(access_, AccessControl::Open(path_));
  EXPECT_EQ(access_->Admit(std::nullopt, Scope::kChat, 0).verdict, Verdict::kNoKey);
  EXPECT_EQ(Admit("wrong"), Verdict::kWrongKey);
  EXPECT_EQ(Admit(keys_[0]), Verdict::kAdmitted);
  EXPECT_EQ(Admit(keys_[0], Scope::kAdmin), Verdict::kNotAllowed);
  EXPECT_EQ(Admit(keys_[1], Scope::kAdmin), Verdict::kAdmitted);
  EXPECT_EQ(access_->Admit(keys_[1], Scope::kAdmin, 0).rights.name, "admin");
}

TEST_F(AccessControlTest, LimitsAreThoseOfEachKey) {
  Write({{.name = "few", .scopes = 1, .requests_per_minute = 2},
         {.name = "short", .scopes = 1, .tokens_per_minute = 100},
         {.name = "free", .scopes = 1}});
  ASSERT_OK_AND_ASSIGN(access_, AccessControl::Open(path_));
  EXPECT_EQ(Admit(keys_[0]), Verdict::kAdmitted);
  EXPECT_EQ(Admit(keys_[0]), Verdict::kAdmitted);
  const AccessControl::Decision refused = access_->Admit(keys_[0], Scope::kChat, 0);
  EXPECT_EQ(refused.verdict, Verdict::kTooMany);
  EXPECT_EQ(refused.limit, "requests");
  EXPECT_NEAR(refused.retry_after_seconds, 30, 1e-6);
  EXPECT_EQ(Admit(keys_[0], Scope::kChat, 30.1), Verdict::kAdmitted);
  EXPECT_EQ(Admit(keys_[1]), Verdict::kAdmitted);
  access_->ChargeTokens("short", 150, 0);
  access_->ChargeTokens("nobody", 150, 0);
  EXPECT_EQ(access_->Admit(keys_[1], Scope::kChat, 0).limit, "tokens");
  EXPECT_EQ(Admit(keys_[1], Scope::kChat, 31), Verdict::kAdmitted);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(Admit(keys_[2]), Verdict::kAdmitted);
}

TEST_F(AccessControlTest, ReloadingTakesKeysAwayAndADamagedFileChangesNothing) {
  Write({{.name = "old", .scopes = 1}});
  ASSERT_OK_AND_ASSIGN(access_, AccessControl::Open(path_));
  const std::string old_key = keys_[0];
  Write({{.name = "new", .scopes = 1}});
  EXPECT_EQ(Admit(old_key), Verdict::kAdmitted);
  ASSERT_OK(access_->Reload());
  EXPECT_EQ(Admit(old_key), Verdict::kWrongKey);
  EXPECT_EQ(Admit(keys_[0]), Verdict::kAdmitted);
  ASSERT_OK(WriteFileAtomically(path_, "{"));
  EXPECT_FALSE(access_->Reload().ok());
  EXPECT_EQ(Admit(keys_[0]), Verdict::kAdmitted);
}

TEST_F(AccessControlTest, AMissingFileIsAnError) {
  EXPECT_ERROR_CONTAINS(AccessControl::Open(folder_ / "none.json"), "none.json");
}

}  // namespace
}  // namespace qwen25
