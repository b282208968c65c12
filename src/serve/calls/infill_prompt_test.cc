#include "serve/calls/infill_prompt.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/test_util.h"

namespace qwen25 {
namespace {

// Every byte, and control tokens of these names.
Tokenizer TokenizerWith(const std::vector<std::string>& names) {
  ByteLevelBpe parts;
  for (int byte = 0; byte < 256; ++byte) parts.tokens.emplace_back(1, static_cast<char>(byte));
  parts.special_tokens = names;
  return Tokenizer::FromByteLevelBpe(std::move(parts)).value();
}

std::string Prompt(const std::vector<std::string>& names, const std::vector<InfillContext>& context) {
  const Tokenizer tokenizer = TokenizerWith(names);
  const Result<std::vector<int32_t>> tokens = InfillPrompt(tokenizer, context, "a<|fim_middle|>", "b");
  return tokens.ok() ? tokenizer.Decode(*tokens) : std::string(tokens.status().message());
}

const std::vector<std::string> kQwen = {"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|file_sep|>",
                                        "<|repo_name|>"};

TEST(InfillPromptTest, TokensStandWhereTheModelLearnedThem) {
  EXPECT_EQ(Prompt(kQwen, {}), "<|fim_prefix|>a<|fim_middle|><|fim_suffix|>b<|fim_middle|>");
  EXPECT_EQ(Prompt({"<fim_prefix>", "<fim_suffix>", "<fim_middle>"}, {}),
            "<fim_prefix>a<|fim_middle|><fim_suffix>b<fim_middle>");
  EXPECT_NE(Prompt({"<|fim_prefix|>"}, {}).find("not made to fill in texts"), std::string::npos);
}

TEST(InfillPromptTest, OtherFilesStandBeforeIt) {
  const std::vector<InfillContext> context = {{"x.h", "int x;"}, {"y.h", "int y;\n"}};
  EXPECT_EQ(Prompt(kQwen, context),
            "<|repo_name|>project\n<|file_sep|>x.h\nint x;\n<|file_sep|>y.h\nint y;\n<|file_sep|>filename\n"
            "<|fim_prefix|>a<|fim_middle|><|fim_suffix|>b<|fim_middle|>");
  EXPECT_EQ(Prompt({"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"}, context),
            "int x;\nint y;\n<|fim_prefix|>a<|fim_middle|><|fim_suffix|>b<|fim_middle|>");
}

// What looks like a token in a text is its letters.
TEST(InfillPromptTest, TextsHoldNoTokens) {
  const Tokenizer tokenizer = TokenizerWith(kQwen);
  ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> tokens, InfillPrompt(tokenizer, {}, "<|fim_middle|>", ""));
  EXPECT_EQ(std::ranges::count(tokens, *tokenizer.TokenId("<|fim_middle|>")), 1);
  EXPECT_EQ(tokens.back(), *tokenizer.TokenId("<|fim_middle|>"));
}

TEST(InfillPromptTest, OtherFilesEndTheAnswer) {
  const Tokenizer tokenizer = TokenizerWith(kQwen);
  StreamRequest stream;
  stream.answer.stop_tokens = {7};
  StopAfterInfill(tokenizer, stream);
  EXPECT_EQ(stream.answer.stop_tokens, (std::vector<int32_t>{7, *tokenizer.TokenId("<|file_sep|>"),
                                                             *tokenizer.TokenId("<|repo_name|>")}));
  StreamRequest endless;
  StopAfterInfill(tokenizer, endless);
  EXPECT_TRUE(endless.answer.stop_tokens.empty());
}

}  // namespace
}  // namespace qwen25
