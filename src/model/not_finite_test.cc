#include "model/not_finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/all_finite.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

class ExplainOverflowTest : public testing::Test {
 protected:
  static ModelConfig Config() {
    ModelConfig config;
    config.vocab_size = 50;
    config.hidden_size = 32;
    config.intermediate_size = 48;
    config.num_hidden_layers = 3;
    config.num_attention_heads = 4;
    config.num_key_value_heads = 2;
    config.head_dim = 8;
    config.max_position_embeddings = 64;
    config.tie_word_embeddings = false;
    return config;
  }
  // Runs three tokens; what the pass says of its numbers.
  Status Check(const Model& model) {
    const std::vector<int32_t> tokens = {1, 2, 3}, positions = {0, 1, 2}, starts = {0, 3};
    const TokenBatch batch = {tokens, positions, starts};
    const Tensor hidden = DecoderForward(execution_, model, batch);
    const std::vector<int32_t> rows = {0, 1, 2};
    const Tensor logits = Logits(execution_, model, hidden, rows);
    bool suspicious = false;
    for (size_t row = 0; row < 3; ++row) {
      suspicious |= MayHaveOverflowed({hidden.view().Row(row), hidden.cols()});
    }
    const bool finite = AllFinite({logits.data(), logits.rows() * logits.cols()});
    suspicious_ = suspicious || !finite;
    return ExplainOverflow(execution_, model, batch, {}, finite);
  }

  Model model_{Config()};
  ThreadPool threads_{1};
  TensorPool tensors_;
  Scratch scratch_{1};
  Execution execution_{threads_, tensors_, scratch_, nullptr};
  bool suspicious_ = false;
};

TEST_F(ExplainOverflowTest, NamesTheFirstLayer) {
  model_.Initialize(1);
  EXPECT_OK(Check(model_));
  EXPECT_FALSE(suspicious_);
  const auto with = [&](float& weight, float value, const char* place) {
    const float before = weight;
    weight = value;
    EXPECT_ERROR_CONTAINS(Check(model_), place);
    EXPECT_TRUE(suspicious_) << place;
    weight = before;
  };
  for (const float value : {1e25f, 3e38f, std::nanf("")}) {
    with(model_.embed_tokens.data[32 + 4], value, "first in model.embed_tokens:");
    with(model_.layers[0].o_proj.data[40], value, "first in model.layers.0 of 3 layers (float32 weights)");
    with(model_.layers[2].down_proj.data[3], value, "first in model.layers.2 of 3 layers (float32 weights)");
  }
  with(model_.lm_head.data[77], std::nanf(""), "first in the logits (float32 weights)");
}

TEST_F(ExplainOverflowTest, ZerosByRightAreNoError) {
  for (float& weight : model_.weights()) weight = 0;
  EXPECT_OK(Check(model_));
  EXPECT_TRUE(suspicious_);
}

}  // namespace
}  // namespace qwen25
