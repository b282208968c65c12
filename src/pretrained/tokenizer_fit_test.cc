#include "pretrained/tokenizer_fit.h"

#include <array>

#include "base/test_util.h"
#include "pretrained/companions.h"

namespace qwen25 {
namespace {

const std::string kTokenizer = SourcePath("tests/reference/fixtures/tokenizer_qwen2");

TEST(TokenizerFitTest, OnlyTheVocabularyMustHaveRows) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(kTokenizer));
  const auto ordinary = static_cast<uint32_t>(tokenizer.spec().tokens.size());
  ASSERT_LT(ordinary, tokenizer.vocab_size());  // it has added tokens
  ModelConfig config;
  config.vocab_size = ordinary;
  EXPECT_OK(CheckTokenizerFits(tokenizer, config, "model"));
  config.vocab_size = ordinary - 1;
  EXPECT_ERROR_CONTAINS(CheckTokenizerFits(tokenizer, config, "model"), "model: the tokenizer has ");
}

TEST(TokenizerFitTest, TokensBeyondTheRowsAreNamed) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(kTokenizer));
  const AddedToken& added = tokenizer.spec().added_tokens.back();
  ModelConfig config;
  config.vocab_size = static_cast<uint32_t>(added.id);
  EXPECT_OK(CheckTokensFit(tokenizer.Encode("a text"), tokenizer, config));
  EXPECT_ERROR_CONTAINS(CheckTokensFit(std::array{0, added.id}, tokenizer, config),
                        fmt::format("holds the token {} (\"{}\")", added.id, added.content));
}

TEST(TokenizerFitTest, TheFirstDifferentTokenIsFound) {
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::Load(kTokenizer));
  EXPECT_EQ(FirstDifferentToken(tokenizer, tokenizer), std::nullopt);
  TokenizerSpec spec = tokenizer.spec();
  spec.added_tokens.back().content += "x";
  ASSERT_OK_AND_ASSIGN(const Tokenizer other, Tokenizer::FromSpec(spec, "changed"));
  EXPECT_EQ(FirstDifferentToken(tokenizer, other), spec.added_tokens.back().id);
}

TEST(CompanionsTest, APaddingTokenThatNobodyKnowsIsNoObstacle) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  const std::filesystem::path folder = data + "/../cases/pad_token_outside_vocabulary/model";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "SKIPPED: needs the shared cases, " << folder;
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::Load(folder / "config.json"));
  ASSERT_OK_AND_ASSIGN(const Companions companions, LoadCompanions(folder, config));
  EXPECT_FALSE(companions.tokenizer.pad_id().has_value());
  EXPECT_TRUE(companions.chat_template.has_value());
}

}  // namespace
}  // namespace qwen25
