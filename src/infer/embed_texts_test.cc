#include "infer/embed_texts.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <functional>

#include "base/rng.h"
#include "base/test_util.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

constexpr size_t kWidth = 32;

std::unique_ptr<InferenceEngine> TinyEngine(uint64_t seed = 1) {
  Model model(TinyConfig(100));
  model.Initialize(seed);
  InferenceEngine::Options options;
  options.num_threads = 2;
  return std::make_unique<InferenceEngine>(std::move(model), options);
}

std::vector<int32_t> RandomTokens(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.Below(100));
  return tokens;
}

std::vector<float> EmbedAlone(InferenceEngine& engine, EmbedPooling pooling,
                              const std::vector<int32_t>& tokens, size_t max_tokens = 64) {
  std::vector<float> out(kWidth);
  EXPECT_OK(EmbedTokens(engine, pooling, max_tokens, {&tokens, 1}, out));
  return out;
}

class EmbedPoolings : public testing::TestWithParam<EmbedPooling> {};

TEST_P(EmbedPoolings, VectorsAreTheSameAloneAndTogether) {
  const auto engine = TinyEngine();
  const std::vector<std::vector<int32_t>> sequences = {
      RandomTokens(5, 1), {}, RandomTokens(63, 2), RandomTokens(150, 3), RandomTokens(1, 4)};
  std::vector<float> together(sequences.size() * kWidth);
  ASSERT_OK(EmbedTokens(*engine, GetParam(), 64, sequences, together));
  for (size_t s = 0; s < sequences.size(); ++s) {
    const std::vector<float> row(together.begin() + static_cast<ptrdiff_t>(s * kWidth),
                                 together.begin() + static_cast<ptrdiff_t>((s + 1) * kWidth));
    EXPECT_EQ(row, EmbedAlone(*engine, GetParam(), sequences[s])) << "sequence " << s;
    double square = 0;
    for (const float value : row) square += double{value} * value;
    EXPECT_NEAR(square, sequences[s].empty() ? 0 : 1, 1e-5);
  }
}

TEST_P(EmbedPoolings, NumbersThatAreNotFiniteAreAnErrorAndNoVector) {
  Model model(TinyConfig(100));
  model.Initialize(1);
  model.layers[0].down_proj.data[5] = 3e38f;
  InferenceEngine engine(std::move(model), {.num_threads = 1});
  const std::vector<int32_t> tokens = RandomTokens(20, 1);
  std::vector<float> out(kWidth);
  EXPECT_ERROR_CONTAINS(EmbedTokens(engine, GetParam(), 64, {&tokens, 1}, out),
                        "not finite, first in model.layers.0 of 2 layers (float32 weights):");
}

INSTANTIATE_TEST_SUITE_P(All, EmbedPoolings,
                         testing::Values(EmbedPooling::kBidirectionalMean, EmbedPooling::kCausalMean,
                                         EmbedPooling::kCausalLast));

// A change of one token reaches the state of another only if the mask allows it.
TEST(EmbedTexts, MasksDecideWhatATokenSees) {
  const auto engine = TinyEngine();
  std::vector<int32_t> tokens = RandomTokens(20, 5);
  const auto hidden = [&](EmbedPooling pooling) {
    const std::vector<float> out = EmbedAlone(*engine, pooling, tokens);
    return out;
  };
  const auto mean = hidden(EmbedPooling::kBidirectionalMean), causal = hidden(EmbedPooling::kCausalMean);
  EXPECT_NE(mean, causal);
  const auto last = hidden(EmbedPooling::kCausalLast);
  std::vector<int32_t> changed = tokens;
  changed.front() = (changed.front() + 1) % 100;
  EXPECT_NE(last, EmbedAlone(*engine, EmbedPooling::kCausalLast, changed));
}

TEST(EmbedTexts, OutsideInputIsChecked) {
  const auto engine = TinyEngine();
  std::vector<float> out(kWidth);
  const std::vector<int32_t> tokens = {5, 100};
  EXPECT_ERROR_CONTAINS(EmbedTokens(*engine, EmbedPooling::kCausalMean, 8, {&tokens, 1}, out), "token 100");
  EXPECT_ERROR_CONTAINS(ParseEmbedPooling("max"), "bidirectional-mean");
  ASSERT_OK_AND_ASSIGN(const EmbedPooling pooling, ParseEmbedPooling("causal-last"));
  EXPECT_EQ(pooling, EmbedPooling::kCausalLast);
}

TEST(EmbedTexts, FingerprintsTellWeightsApart) {
  const auto a = TinyEngine(1), again = TinyEngine(1), b = TinyEngine(2);
  EXPECT_EQ(WeightsFingerprint(a->model()), WeightsFingerprint(again->model()));
  EXPECT_NE(WeightsFingerprint(a->model()), WeightsFingerprint(b->model()));
}

// Settings of config.json that affect hidden states change the fingerprint; other settings do not.
TEST(EmbedTexts, FingerprintsTellConfigurationsApart) {
  const auto fingerprint = [](const std::function<void(ModelConfig&)>& change, uint64_t gate_seed = 0) {
    ModelConfig config = TinyConfig(100);
    change(config);
    Model model(config);
    model.Initialize(1);
    for (DecoderLayer& layer : model.layers) {
      if (layer.head_gate.data != nullptr && gate_seed != 0) layer.head_gate.data[3] += 1;
    }
    return WeightsFingerprint(model);
  };
  const uint64_t plain = fingerprint([](auto&) {});
  const auto gates = [](ModelConfig& config) {
    config.head_routing = HeadRouting{.shared_groups = 1, .top_k = 1};
  };
  const std::vector<uint64_t> different = {
      fingerprint([](auto& config) { config.rope_theta = 10000; }),
      fingerprint([](auto& config) { config.rms_norm_eps = 1e-5f; }),
      fingerprint([](auto& config) { config.rope_scaling = RopeScaling{.type = "linear", .factor = 2}; }),
      fingerprint(gates), fingerprint(gates, 1)};
  for (size_t i = 0; i < different.size(); ++i) {
    EXPECT_NE(different[i], plain) << i;
    for (size_t j = 0; j < i; ++j) EXPECT_NE(different[i], different[j]) << i << " " << j;
  }
  EXPECT_EQ(fingerprint([](auto& config) { config.eos_token_ids = {3}; }), plain);
}

}  // namespace
}  // namespace qwen25
