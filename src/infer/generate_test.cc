#include "infer/generate.h"

#include <rapidcheck.h>

#include <algorithm>

#include "base/test_util.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

// Pieces joined must give the text up to the first stop text, however the text was cut.
TEST(StopMatcherTest, AnyCutGivesTheTextUpToTheFirstStop) {
  EXPECT_TRUE(rc::check("cuts do not matter", [] {
    const auto letters = rc::gen::container<std::string>(rc::gen::elementOf(std::string("abc")));
    const auto text = *letters;
    const auto stops = *rc::gen::container<std::vector<std::string>>(rc::gen::nonEmpty(letters));
    // The definition, letter by letter: the first prefix of the text that ends in a stop text, without the
    // longest such.
    size_t expected = std::string::npos;
    for (size_t end = 0; end <= text.size() && expected == std::string::npos; ++end) {
      for (const auto& stop : stops) {
        if (text.substr(0, end).ends_with(stop)) expected = std::min(expected, end - stop.size());
      }
    }

    StopMatcher matcher(stops);
    std::string out;
    bool stopped = false;
    for (size_t i = 0; i < text.size() && !stopped;) {
      const size_t count = *rc::gen::inRange<size_t>(1, 4);
      stopped = matcher.Feed(std::string_view(text).substr(i, count), out);
      i += count;
    }
    if (!stopped) out += matcher.Finish();
    RC_ASSERT(stopped == (expected != std::string::npos));
    RC_ASSERT(out == text.substr(0, expected));
  }));
}

Tokenizer ByteTokenizer() {
  ByteLevelBpe parts;
  for (int byte = 0; byte < 256; ++byte) parts.tokens.emplace_back(1, static_cast<char>(byte));
  parts.special_tokens = {"<|endoftext|>"};
  parts.eos_token = "<|endoftext|>";
  return *Tokenizer::FromByteLevelBpe(parts);
}

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
    // And again behind a truncation, over blocks that hold old values.
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

TEST_F(GenerateTest, ContextOverflowIsRefusedOrEndsTheAnswer) {
  Session session(engine_);
  const std::vector<int32_t> too_long(257, 5);
  EXPECT_ERROR_CONTAINS(Generate(session, tokenizer_, too_long, options_),
                        "the context would overflow: 0 tokens are there, 257 come, and the limit is 256");
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
