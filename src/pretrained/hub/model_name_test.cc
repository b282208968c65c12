#include "pretrained/hub/model_name.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/test_util.h"

namespace qwen25 {
namespace {

TEST(ModelNameTest, HasARepositoryAFormatAndARevision) {
  ASSERT_OK_AND_ASSIGN(const ModelName plain, ModelName::Parse("Qwen/Qwen2.5-0.5B-Instruct"));
  EXPECT_EQ(plain.repository, "Qwen/Qwen2.5-0.5B-Instruct");
  EXPECT_EQ(plain.format, "");
  EXPECT_EQ(plain.revision_or_main(), "main");
  ASSERT_OK_AND_ASSIGN(const ModelName whole, ModelName::Parse("unsloth/Qwen3-GGUF:UD-Q4_K_XL@refs/pr/1"));
  EXPECT_EQ(whole.repository, "unsloth/Qwen3-GGUF");
  EXPECT_EQ(whole.format, "UD-Q4_K_XL");
  EXPECT_EQ(whole.revision, "refs/pr/1");
  EXPECT_EQ(whole.Text(), "unsloth/Qwen3-GGUF:UD-Q4_K_XL@refs/pr/1");
}

TEST(ModelNameTest, AddressesOfTheHubAreNames) {
  for (const char* text : {"https://huggingface.co/gpt/two", "hf.co/gpt/two", "hf://gpt/two", "gpt/two/"}) {
    ASSERT_OK_AND_ASSIGN(const ModelName name, ModelName::Parse(text));
    EXPECT_EQ(name.repository, "gpt/two") << text;
  }
}

TEST(ModelNameTest, RefusesWhatNamesNothing) {
  for (const char* text : {"",        "/",    "a/b/c",       "/etc/passwd", "../x",
                           "a/..",    "a/.b", "a--b/c",      "a/b--c",      "a b/c",
                           "a/b:",    "a/b@", "a/b@../main", "a/b@/main",   "a/b:x/y",
                           "a/b@x y", "a\\b", "a/b.",        "-a/b",        "http://localhost/a"}) {
    EXPECT_ERROR_CONTAINS(ModelName::Parse(text), "names no model") << text;
  }
  EXPECT_ERROR_CONTAINS(ModelName::Parse(std::string(97, 'a') + "/b"), "names no model");
  EXPECT_ERROR_CONTAINS(ModelName::Parse(std::string("a/b\0c", 5)), "names no model");
}

TEST(ModelNameTest, PathsOfAHubStayBelowTheirFolder) {
  for (const char* path : {"config.json", "1_Pooling/config.json", "a/b/c.gguf", "..a", "a..b"}) {
    EXPECT_TRUE(IsSafeRelativePath(path)) << path;
  }
  for (const char* path : {"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\\b"}) {
    EXPECT_FALSE(IsSafeRelativePath(path)) << path;
  }
  EXPECT_FALSE(IsSafeRelativePath(std::string(300, 'a')));
}

// Whatever is read as a name is written as it was read, and names one folder.
TEST(ModelNameTest, TextIsReadBack) {
  rc::check([](const std::string& text) {
    const Result<ModelName> name = ModelName::Parse(text);
    if (!name.ok()) return;
    const Result<ModelName> again = ModelName::Parse(name->Text());
    RC_ASSERT(again.ok());
    RC_ASSERT(again->Text() == name->Text());
    RC_ASSERT(IsSafeRelativePath(name->repository));
  });
}

}  // namespace
}  // namespace qwen25
