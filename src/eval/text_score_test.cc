#include "eval/text_score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/test_util.h"
#include "eval/eval_test_util.h"
#include "model/adapter/adapter_test_util.h"
#include "model/adapter/merged_weights.h"
#include "model/open_weights.h"

namespace qwen25 {
namespace {

const std::string kText =
    "A text of some length, in which the words of a language are followed by words of the same language.";

TextScoreOptions Options(const ModelConfig& config, uint32_t window, uint32_t stride) {
  TextScoreOptions options = {.window = window, .stride = stride};
  EXPECT_OK(options.Complete(config));
  return options;
}

TEST(TextScoreTest, AModelThatKnowsNothingPaysForEveryToken) {
  const Tokenizer tokenizer = ByteTokenizer();
  const Model model(ByteModelConfig());  // zero weights: all tokens are equally likely
  for (const uint32_t window : {2u, 10u, 64u, 256u}) {
    TextScorer scorer(model, tokenizer, Options(model.config(), window, 1));
    ASSERT_OK(scorer.AddText(kText));
    EXPECT_EQ(scorer.score().num_tokens, kText.size());
    EXPECT_EQ(scorer.score().num_bytes, kText.size());
    EXPECT_NEAR(scorer.score().Perplexity(), 257, 1e-3);
    EXPECT_NEAR(scorer.score().BitsPerByte(), std::log2(257.0), 1e-6);
    EXPECT_EQ(scorer.ReadShare(), 1);
  }
}

TEST(TextScoreTest, TokensBeyondTheRowsAreNamed) {
  TokenizerSpec spec = ByteTokenizer().spec();
  spec.added_tokens.push_back({.id = 300, .content = "<other>"});
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromSpec(spec, "test"));
  const Model model(ByteModelConfig());
  TextScorer scorer(model, tokenizer, Options(model.config(), 16, 8));
  EXPECT_OK(scorer.AddText("a text"));
  EXPECT_ERROR_CONTAINS(scorer.AddText("a text <other>"), "the text holds the token 300 (\"<other>\")");
}

// -log of the probability of `tokens`.back() after the tokens before it.
double NatsOfLast(const Model& model, const std::vector<int32_t>& tokens) {
  ThreadPool threads(1);
  TensorPool tensors;
  Scratch scratch(1);
  Execution execution{threads, tensors, scratch, nullptr};
  std::vector<int32_t> positions(tokens.size()), targets(tokens.size(), -1);
  std::iota(positions.begin(), positions.end(), 0);
  targets[tokens.size() - 2] = tokens.back();
  const std::vector<int32_t> starts = {0, static_cast<int32_t>(tokens.size())};
  return DecoderLoss(execution, model, {tokens, positions, starts}, targets, 0).sum;
}

TEST(TextScoreTest, EachTokenIsPredictedOnceFromTheContextOfItsWindow) {
  const Tokenizer tokenizer = ByteTokenizer();
  const Model model = ByteModel(1);
  std::vector<int32_t> tokens = tokenizer.Encode(kText);
  tokens.insert(tokens.begin(), 256);
  for (const auto& [window, stride] :
       std::vector<std::pair<uint32_t, uint32_t>>{{16, 15}, {40, 7}, {256, 128}}) {
    double expected = 0;
    for (size_t i = 1; i < tokens.size(); ++i) {
      const size_t begin = i < window ? 0 : (i - window) / stride * stride + stride;
      expected += NatsOfLast(model, {tokens.begin() + begin, tokens.begin() + i + 1});
    }
    TextScorer scorer(model, tokenizer, Options(model.config(), window, stride));
    ASSERT_OK(scorer.AddText(kText));
    EXPECT_NEAR(scorer.score().nats, expected, 1e-4 * expected) << window << " " << stride;
    EXPECT_EQ(scorer.score().num_tokens, tokens.size() - 1);
  }
}

TEST(TextScoreTest, SecondHalvesAreThoseOfWindowsThatDoNotOverlap) {
  TokenizerSpec spec = ByteTokenizer().spec();
  for (const bool begins_texts : {false, true}) {
    if (begins_texts) spec.prefix_ids = {256};
    ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromSpec(spec, "test"));
    const Model model = ByteModel(1);
    std::vector<int32_t> tokens = tokenizer.Encode(kText, {.add_bos = true});
    TextScoreOptions options = Options(model.config(), 20, 0);
    options.second_halves = true;
    double expected = 0;
    for (size_t begin = 0; begin + 20 <= tokens.size(); begin += 20) {
      if (begins_texts) tokens[begin] = 256;
      for (size_t i = begin + 11; i < begin + 20; ++i) {
        expected += NatsOfLast(model, {tokens.begin() + begin, tokens.begin() + i + 1});
      }
    }
    TextScorer scorer(model, tokenizer, options);
    ASSERT_OK(scorer.AddText(kText));
    EXPECT_NEAR(scorer.score().nats, expected, 1e-4 * expected);
    EXPECT_EQ(scorer.score().num_tokens, tokens.size() / 20 * 9);
  }
}

TEST(TextScoreTest, BlocksOfFloat32GiveTheSameBits) {
  const Tokenizer tokenizer = ByteTokenizer();
  const Model model = ByteModel(2);
  TextScoreOptions options = Options(model.config(), 80, 40);
  TextScorer plain(model, tokenizer, options);
  ASSERT_OK(plain.AddText(kText));
  options.kv = KvFormat::kFloat32;
  TextScorer with_blocks(model, tokenizer, options);
  ASSERT_OK(with_blocks.AddText(kText));
  EXPECT_EQ(with_blocks.score().nats, plain.score().nats);
  options.kv = KvFormat::kInt8;
  TextScorer with_codes(model, tokenizer, options);
  ASSERT_OK(with_codes.AddText(kText));
  EXPECT_NE(with_codes.score().nats, plain.score().nats);
  EXPECT_NEAR(with_codes.score().nats, plain.score().nats, 0.05 * plain.score().nats);
}

TEST(TextScoreTest, RoutingReadsLess) {
  const Tokenizer tokenizer = ByteTokenizer();
  const Model model = ByteModel(3);
  TextScoreOptions options = Options(model.config(), 256, 128);
  options.routing = RoutingPolicy::Parse("top_k:1,local=0,dense_below=0").value();
  TextScorer scorer(model, tokenizer, options);
  ASSERT_OK(scorer.AddText(std::string(600, 'x')));
  EXPECT_LT(scorer.ReadShare(), 1);
}

TEST(TextScoreTest, StopsAfterSoManyTokensOverFiles) {
  const TemporaryDirectory folder;
  ASSERT_OK(WriteFileAtomically(folder / "a.txt", kText));
  ASSERT_OK(WriteFileAtomically(folder / "b.txt", kText));
  const Tokenizer tokenizer = ByteTokenizer();
  const Model model = ByteModel(1);
  TextScoreOptions options = Options(model.config(), 16, 8);
  options.max_tokens = kText.size() + 7;
  TextScorer scorer(model, tokenizer, options);
  const std::vector<std::string> files = {folder / "a.txt", folder / "b.txt", folder / "not_reached.txt"};
  ASSERT_OK(scorer.AddFiles(files));
  EXPECT_EQ(scorer.score().num_tokens, options.max_tokens);
  EXPECT_TRUE(scorer.full());
}

TEST(TextScoreTest, ProgressStops) {
  const Tokenizer tokenizer = ByteTokenizer();
  const Model model = ByteModel(1);
  TextScorer scorer(model, tokenizer, Options(model.config(), 16, 8));
  uint64_t seen = 0;
  const Status status = scorer.AddText(kText, [&](uint64_t num_tokens) {
    seen = num_tokens;
    return num_tokens < 20;
  });
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_GE(seen, 20u);
  EXPECT_LT(seen, 30u);
}

TEST(TextScoreTest, WindowsMayBeAsLongAsTheModelReads) {
  ModelConfig config = ByteModelConfig();
  config.max_position_embeddings = 16;
  config.rope_scaling = RopeScaling{.type = "yarn", .factor = 4, .original_max_position_embeddings = 16};
  TextScoreOptions options;
  ASSERT_OK(options.Complete(config));
  EXPECT_EQ(options.window, 64u);
  const Tokenizer tokenizer = ByteTokenizer();
  const Model model = ByteModel(4, config);
  TextScorer scorer(model, tokenizer, Options(config, 48, 24));
  EXPECT_OK(scorer.AddText(kText));
  EXPECT_TRUE(std::isfinite(scorer.score().nats));
  options.window = 65;
  EXPECT_ERROR_CONTAINS(options.Complete(config), "expected a window of 2 to 64");
  config.rope_scaling.reset();
  options.window = 17;
  EXPECT_ERROR_CONTAINS(options.Complete(config), "expected a window of 2 to 16");
}

TEST(TextScoreTest, NumbersThatAreNotFiniteAreAnError) {
  const Tokenizer tokenizer = ByteTokenizer();
  for (const float bad : {3e38f, 1e30f, std::numeric_limits<float>::quiet_NaN()}) {
    for (const char* name :
         {"model.layers.1.mlp.down_proj.weight", "model.layers.0.self_attn.v_proj.weight"}) {
      Model model = ByteModel(1);
      for (const NamedParameter& named : model.parameters()) {
        if (named.name == name) std::fill_n(named.parameter.data, named.parameter.cols, bad);
      }
      TextScorer scorer(model, tokenizer, Options(model.config(), 64, 32));
      const Status status = scorer.AddText(kText);
      EXPECT_EQ(status.code(), StatusCode::kCorrupt) << name << " " << bad;
      EXPECT_ERROR_CONTAINS(status, std::string(name, 14));  // "model.layers.N"
    }
  }
}

// The scores of the model with the adapter merged into it, also where the output is changed.
TEST(TextScoreTest, AdaptersCountAsIfMerged) {
  const Tokenizer tokenizer = ByteTokenizer();
  const Model model = ByteModel(1);
  TemporaryDirectory folder;
  ASSERT_OK(model.Save(folder.path()));
  const std::string text = kText + kText + kText;  // more rows than have logits at a time
  ThreadPool threads(1);
  for (const char* part : {"layers", ""}) {
    const Adapter adapter = RandomAdapter(model.config(), 3, 1, 0.2, part);
    ASSERT_OK_AND_ASSIGN(auto weights, MergedWeights::Make(OpenWeights(folder.path()).value(), {adapter}));
    ASSERT_OK_AND_ASSIGN(const Model merged, Model::Load(*weights));
    TextScoreOptions options = Options(model.config(), 200, 100);
    TextScorer of_merged(merged, tokenizer, options), without(model, tokenizer, options);
    options.adapters = AdapterSet::Make(model.config(), {&adapter, 1}, threads).value();
    TextScorer apart(model, tokenizer, options);
    for (TextScorer* scorer : {&of_merged, &without, &apart}) ASSERT_OK(scorer->AddText(text));
    EXPECT_EQ(apart.score().num_tokens, of_merged.score().num_tokens);
    EXPECT_NEAR(apart.score().NatsPerToken(), of_merged.score().NatsPerToken(), 1e-5) << part;
    EXPECT_GT(std::fabs(without.score().NatsPerToken() - of_merged.score().NatsPerToken()), 1e-3) << part;
  }
}

}  // namespace
}  // namespace qwen25
