#include "infer/generate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/test_util.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

Model RandomModel() {
  Model model(TinyConfig(300));
  model.Initialize(3);
  // Larger weights than at initialisation: a random model would otherwise repeat one token.
  for (float& weight : model.weights()) weight *= 8;
  return model;
}

class GenerateTest : public testing::Test {
 protected:
  GenerateTest() : engine_(RandomModel(), {.num_threads = 2}), tokenizer_(ByteTokenizer()) {
    options_.sampling.temperature = 0.8f;
    options_.sampling.seed = 11;
    options_.max_new_tokens = 100;
  }

  InferenceEngine engine_;
  Tokenizer tokenizer_;
  GenerateOptions options_;
  std::vector<int32_t> prompt_ = tokenizer_.Encode("once upon a time");
};

TEST_F(GenerateTest, ASeedRepeatsAndASessionIsReused) {
  Session session(engine_);
  ASSERT_OK_AND_ASSIGN(const auto first, Generate(session, tokenizer_, prompt_, options_));
  EXPECT_EQ(first.tokens.size(), 100u);
  EXPECT_EQ(first.finish_reason, FinishReason::kLength);
  EXPECT_EQ(first.reuse.total(), 0u);
  ASSERT_OK_AND_ASSIGN(const auto second, Generate(session, tokenizer_, prompt_, options_));
  EXPECT_EQ(second.tokens, first.tokens);
  EXPECT_EQ(second.reuse.total(), prompt_.size() - 1);
  Session other(engine_);
  ASSERT_OK_AND_ASSIGN(const auto third, Generate(other, tokenizer_, prompt_, options_));
  EXPECT_EQ(third.tokens, first.tokens);
  EXPECT_EQ(third.text, first.text);
}

TEST_F(GenerateTest, LogitsDoNotDependOnHowTheTextWasCut) {
  std::vector<int32_t> tokens(150);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 7 % 256);
  std::vector<float> whole;
  {
    Session session(engine_);
    ASSERT_OK(session.Append(tokens));
    whole.assign(session.logits().begin(), session.logits().end());
  }
  for (size_t chunk : {1, 13, 64, 149}) {
    Session cut(engine_);
    for (size_t i = 0; i < tokens.size(); i += chunk) {
      ASSERT_OK(cut.Append(std::span(tokens).subspan(i, std::min(chunk, tokens.size() - i))));
    }
    EXPECT_TRUE(std::ranges::equal(whole, cut.logits())) << "chunks of " << chunk;
    // Again after a truncation, over blocks that hold old values.
    cut.Truncate(70);
    ASSERT_OK(cut.Append(std::span(tokens).subspan(70)));
    EXPECT_TRUE(std::ranges::equal(whole, cut.logits())) << "truncated";
  }
}

TEST_F(GenerateTest, StopsAtTextsTokensAndWhenTold) {
  Session session(engine_);
  ASSERT_OK_AND_ASSIGN(const auto free, Generate(session, tokenizer_, prompt_, options_));
  options_.stop_tokens = {free.tokens[20]};
  ASSERT_OK_AND_ASSIGN(const auto by_token, Generate(session, tokenizer_, prompt_, options_));
  EXPECT_EQ(by_token.finish_reason, FinishReason::kStopToken);
  EXPECT_LE(by_token.tokens.size(), 21u);
  options_.stop_tokens.clear();
  int pieces = 0;
  ASSERT_OK_AND_ASSIGN(const auto stopped, Generate(session, tokenizer_, prompt_, options_,
                                                    [&](std::string_view) { return ++pieces < 6; }));
  EXPECT_EQ(stopped.finish_reason, FinishReason::kCancelled);
  options_.stop = {""};
  EXPECT_ERROR_CONTAINS(Generate(session, tokenizer_, prompt_, options_), "stop text is empty");
}

// This is neither a full context nor a regular end of the answer.
TEST_F(GenerateTest, BlocksThatOthersHoldEndTheAnswerWithAnErrorThatSaysSo) {
  Session other(engine_), session(engine_);
  ASSERT_OK_AND_ASSIGN(const auto free, Generate(session, tokenizer_, prompt_, options_));
  ASSERT_OK(session.HoldExactly({prompt_.data(), 1}));
  ASSERT_OK(other.Append(RandomTokens(256, 3 * kBlockTokens, 5)));  // of 4 blocks
  LookupDrafter drafter(256);
  for (Drafter* one : std::initializer_list<Drafter*>{nullptr, &drafter}) {
    options_.drafter = one;
    options_.sampling.temperature = 0;
    ASSERT_OK_AND_ASSIGN(const auto result, Generate(session, tokenizer_, prompt_, options_));
    EXPECT_EQ(result.finish_reason, FinishReason::kError);
    EXPECT_EQ(FinishReasonName(result.finish_reason), "error");
    EXPECT_EQ(result.error.code(), StatusCode::kResourceExhausted);
    EXPECT_ERROR_CONTAINS(result.error, "all 4 KV blocks (256 tokens");
    // The tokens drawn so far are kept, and the session holds all but the last of them.
    EXPECT_EQ(result.tokens.size(), kBlockTokens - prompt_.size() + 1);
    EXPECT_FALSE(result.text.empty());
    EXPECT_EQ(session.tokens().size(), kBlockTokens);
  }
}

// A model with one weight set to `value`; with a token, in the embedding of that token.
Model ModelWith(float value, std::optional<int32_t> token = {}) {
  ModelConfig config = TinyConfig(300);
  config.tie_word_embeddings = false;
  Model model(config);
  model.Initialize(3);
  for (float& weight : model.weights()) weight *= 8;
  float* place = token ? model.embed_tokens.data + static_cast<size_t>(*token) * config.hidden_size
                       : model.layers[1].down_proj.data;
  place[5] = value;
  return model;
}

TEST_F(GenerateTest, NumbersThatAreNotFiniteEndTheAnswerWithTheirPlace) {
  InferenceEngine sound(ModelWith(0.0f, 299), {.num_threads = 1});
  Session session(sound);
  ASSERT_OK_AND_ASSIGN(const auto free, Generate(session, tokenizer_, prompt_, options_));
  size_t last = 10;  // the first place of a token that is not in the prompt
  const auto seen = [&](int32_t token) {
    const auto end = free.tokens.begin() + static_cast<std::ptrdiff_t>(last);
    return std::find(free.tokens.begin(), end, token) != end ||
           std::ranges::find(prompt_, token) != prompt_.end();
  };
  while (seen(free.tokens[last])) ++last;
  for (const float value : {3e38f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    InferenceEngine late(ModelWith(value, free.tokens[last]), {.num_threads = 1});
    Session in_answer(late);
    ASSERT_OK_AND_ASSIGN(const auto result, Generate(in_answer, tokenizer_, prompt_, options_));
    EXPECT_EQ(result.finish_reason, FinishReason::kError);
    EXPECT_ERROR_CONTAINS(result.error, "not finite, first in model.embed_tokens, with");
    ASSERT_EQ(result.tokens.size(), last + 1);
    EXPECT_TRUE(std::equal(result.tokens.begin(), result.tokens.end(), free.tokens.begin()));

    InferenceEngine broken(ModelWith(value), {.num_threads = 1});
    Session in_prompt(broken);
    EXPECT_ERROR_CONTAINS(Generate(in_prompt, tokenizer_, prompt_, options_),
                          "not finite, first in model.layers.1 of 2 layers (float32 weights), with keys and "
                          "values in float32");
    EXPECT_TRUE(in_prompt.tokens().empty());
    EXPECT_EQ(in_prompt.error().code(), StatusCode::kCorrupt);
  }
}

TEST_F(GenerateTest, ContextOverflowIsRefusedOrEndsTheAnswer) {
  Session session(engine_);
  const std::vector<int32_t> too_long(257, 5);
  EXPECT_ERROR_CONTAINS(
      Generate(session, tokenizer_, too_long, options_),
      "the context would overflow: it holds 0 tokens, 257 more are to be added, and the limit is 256");
  EXPECT_ERROR_CONTAINS(Generate(session, tokenizer_, {}, options_), "the text is empty");
  const std::vector<int32_t> foreign = {299, 300};
  EXPECT_ERROR_CONTAINS(Generate(session, tokenizer_, foreign, options_),
                        "token 300 is outside the model's vocabulary");
  options_.max_new_tokens = 1000;
  ASSERT_OK_AND_ASSIGN(const auto full, Generate(session, tokenizer_, prompt_, options_));
  EXPECT_EQ(full.finish_reason, FinishReason::kContextFull);
  EXPECT_EQ(session.tokens().size(), 256u);
}

}  // namespace
}  // namespace qwen25
