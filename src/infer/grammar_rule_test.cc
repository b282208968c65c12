#include "infer/grammar_rule.h"

#include <rapidcheck.h>

#include <cmath>

#include "base/json.h"
#include "base/test_util.h"
#include "infer/generate.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

constexpr size_t kVocabulary = 257;

TEST(ApplyMaskTest, KeepsWhatHasABit) {
  EXPECT_TRUE(rc::check("and nothing else", [] {
    const auto words = *rc::gen::container<std::vector<uint64_t>>(
        rc::gen::element(uint64_t{0}, ~uint64_t{0}, uint64_t{0x8000000000000001}, uint64_t{0xff00ff}));
    std::vector<float> logits(*rc::gen::inRange<size_t>(1, 400), 1.5f);
    ApplyMask(words, logits);
    for (size_t i = 0; i < logits.size(); ++i) {
      const bool kept = i / 64 < words.size() && ((words[i / 64] >> (i % 64)) & 1) != 0;
      RC_ASSERT((kept ? logits[i] == 1.5f : std::isinf(logits[i])));
    }
  }));
}

class GrammarRuleTest : public testing::Test {
 protected:
  GrammarRuleTest() {
    Model model(TinyConfig(kVocabulary, 1024));
    model.Initialize(3);
    for (float& weight : model.weights()) weight *= 8;
    engine_ = std::make_unique<InferenceEngine>(std::move(model), InferenceEngine::Options{.num_threads = 1});
  }

  std::string Answer(const std::shared_ptr<const Grammar>& grammar, uint64_t seed, float temperature,
                     Drafter* drafter) {
    const std::unique_ptr<GrammarRule> rule = GrammarRule::Create(grammar, trie_, {256}).value();
    GenerateOptions options;
    options.max_new_tokens = 600;
    options.stop_tokens = {256};
    options.sampling = {.temperature = temperature, .top_k = 0, .top_p = 1, .seed = seed};
    options.rule = rule.get();
    options.drafter = drafter;
    Session session(*engine_);
    const GenerateResult result =
        Generate(session, tokenizer_, std::vector<int32_t>{1, 2, 3, 1, 2, 3, 1, 2}, options).value();
    EXPECT_EQ(result.finish_reason, FinishReason::kStopToken);
    return result.text;
  }

  Tokenizer tokenizer_ = ByteTokenizer();
  std::shared_ptr<const TokenTrie> trie_ = std::make_shared<TokenTrie>(tokenizer_);
  std::unique_ptr<InferenceEngine> engine_;
};

TEST_F(GrammarRuleTest, AnyModelWritesWhatTheSchemaSays) {
  const Json schema =
      Json::parse(R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
      "age": {"type": "integer", "minimum": 0, "maximum": 120}, "tags": {"type": "array", "maxItems": 3,
      "items": {"enum": ["red", "green"]}}}, "required": ["name", "age", "tags"], "additionalProperties": false})");
  ASSERT_OK_AND_ASSIGN(const auto grammar, Grammar::FromJsonSchema(schema));
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::string text = Answer(grammar, seed, 1, nullptr);
    const Json json = Json::parse(text, nullptr, false);
    ASSERT_TRUE(json.is_object()) << text;
    EXPECT_EQ(json.size(), 3u);
    EXPECT_TRUE(json["name"].is_string() && json["tags"].size() <= 3) << text;
    EXPECT_TRUE(json["age"].is_number_integer() && json["age"] >= 0 && json["age"] <= 120) << text;
  }
}

TEST_F(GrammarRuleTest, ProposalsChangeNothing) {
  ASSERT_OK_AND_ASSIGN(const auto grammar, Grammar::FromRegex("(abc|abd){4,30}x"));
  const std::string plain = Answer(grammar, 1, 0, nullptr);
  LookupDrafter drafter(1024);
  EXPECT_EQ(Answer(grammar, 1, 0, &drafter), plain);
  EXPECT_EQ(plain.back(), 'x');
}

}  // namespace
}  // namespace qwen25
