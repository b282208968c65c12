// Models whose gates choose query heads (ops/routing/head_gate.h).
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "base/test_util.h"
#include "model/decoder.h"
#include "model/gguf_model.h"
#include "model/open_weights.h"

namespace qwen25 {
namespace {

ModelConfig GatedConfig() {
  ModelConfig config;
  config.vocab_size = 40;
  config.hidden_size = 32;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 4;
  config.head_dim = 4;
  config.max_position_embeddings = 128;
  config.head_routing = HeadRouting{.shared_groups = 1, .top_k = 2, .balance_loss = 0};
  return config;
}

class HeadRoutingModelTest : public testing::Test {
 protected:
  HeadRoutingModelTest() {
    Rng rng(7);
    for (size_t t = 0; t < kTokens; ++t) {
      tokens_.push_back(static_cast<int32_t>(rng.Below(40)));
      positions_.push_back(static_cast<int32_t>(t));
      targets_.push_back(static_cast<int32_t>(rng.Below(40)));
    }
  }
  TokenBatch batch() const { return {tokens_, positions_, starts_}; }
  LossSum Loss(const Model& model, const DecoderOptions& options = {}) {
    return DecoderLoss(execution_, model, batch(), targets_, 1, options);
  }
  Gradients GradientsOf(const Model& model, const DecoderOptions& options = {}) {
    Gradients gradients(model.parameter_set());
    Execution execution{threads_, tensors_, scratch_, &tape_, gradients.ranges()};
    DecoderLoss(execution, model, batch(), targets_, 1, options);
    tape_.BackwardTo(0, execution);
    return gradients;
  }

  static constexpr size_t kTokens = 90;
  std::vector<int32_t> tokens_, positions_, targets_, starts_ = {0, int32_t{kTokens}};
  ThreadPool threads_{2};
  TensorPool tensors_;
  Scratch scratch_{2};
  Tape tape_;
  Execution execution_{threads_, tensors_, scratch_, nullptr};
};

TEST_F(HeadRoutingModelTest, SurvivesSavingAndOtherProgramsRefuseIt) {
  TemporaryDirectory directory;
  Model model(GatedConfig());
  model.Initialize(5);
  ASSERT_OK(model.Save(directory.path()));
  ASSERT_OK_AND_ASSIGN(const std::string text, ReadFile(directory / "config.json"));
  const Json json = *ParseJson(text, "config.json");
  EXPECT_EQ(json["model_type"], "qwen2_head_routing");  // that transformers does not know
  ASSERT_OK_AND_ASSIGN(const Model again, Model::Load(directory.path()));
  EXPECT_EQ(again.config(), model.config());
  EXPECT_TRUE(std::ranges::equal(again.weights(), model.weights()));

  ASSERT_OK_AND_ASSIGN(const Model packed,
                       Model::LoadPacked(directory.path(), WeightFormat::kInt8, threads_));
  EXPECT_EQ(packed.layers[1].head_gate.packed.format, WeightFormat::kFloat32);
  EXPECT_EQ(packed.layers[1].o_proj.packed.format, WeightFormat::kInt8);
  ASSERT_OK_AND_ASSIGN(const Model exact,
                       Model::LoadPacked(directory.path(), WeightFormat::kFloat32, threads_));
  EXPECT_EQ(Loss(exact).sum, Loss(model).sum);

  ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(directory.path()));
  EXPECT_ERROR_CONTAINS(
      WriteGgufModel(directory / "model.gguf", *source, GgmlType::kF16, false, {}, threads_, {}),
      "no GGUF program runs");
  EXPECT_FALSE(std::filesystem::exists(directory / "model.gguf"));
}

TEST_F(HeadRoutingModelTest, GradientsMatchFiniteDifferences) {
  Model model(GatedConfig());
  model.Initialize(5);
  // So that gates are decided, and small steps change no choice.
  for (const NamedParameter& named : model.parameters()) {
    if (named.name.find("head_gate") == std::string::npos) continue;
    for (size_t i = 0; i < named.parameter.rows * named.parameter.cols; ++i) named.parameter.data[i] *= 30;
  }
  const Gradients gradients = GradientsOf(model);
  for (const NamedParameter& named : model.parameters()) {
    if (named.name.find("layers.0") == std::string::npos) continue;
    const size_t count = named.parameter.rows * named.parameter.cols;
    double slope = 0;
    std::vector<float> direction(count), kept(named.parameter.data, named.parameter.data + count);
    Rng rng(3);
    for (size_t i = 0; i < count; ++i) {
      direction[i] = static_cast<float>(rng.Normal());
      slope += double{gradients.Of(named.parameter)[i]} * direction[i];
    }
    const auto shifted = [&](float step) {
      for (size_t i = 0; i < count; ++i) named.parameter.data[i] = kept[i] + step * direction[i];
      return Loss(model).sum;
    };
    constexpr float kStep = 2e-4f;
    const double expected = (shifted(kStep) - shifted(-kStep)) / (2 * kStep);
    shifted(0);
    EXPECT_NEAR(slope, expected, 0.02 * std::abs(expected) + 0.05) << named.name;
  }
}

TEST_F(HeadRoutingModelTest, LayersThatRunAgainGiveTheSameGradients) {
  ModelConfig config = GatedConfig();
  config.head_routing->balance_loss = 0.5f;
  const auto gradients = [&](bool recompute) {
    Model model(config);
    model.Initialize(5);
    const Gradients found = GradientsOf(model, {.recompute_layers = recompute});
    return std::vector<float>(found.values().begin(), found.values().end());
  };
  EXPECT_EQ(gradients(true), gradients(false));
}

TEST(HeadRoutingConfigTest, SaysWhatIsWrong) {
  const Json good = GatedConfig().ToJson();
  ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::FromJson(good, "config.json"));
  EXPECT_EQ(config, GatedConfig());
  const auto with = [&](auto change) {
    Json json = good;
    change(json);
    return ModelConfig::FromJson(json, "config.json");
  };
  EXPECT_ERROR_CONTAINS(with([](Json& json) { json["model_type"] = "qwen2"; }), "expected both or neither");
  EXPECT_ERROR_CONTAINS(with([](Json& json) { json.erase("qwen25"); }), "expected both or neither");
  EXPECT_ERROR_CONTAINS(with([](Json& json) { json["qwen25"]["head_routing"] = 3; }), "is not an object");
  EXPECT_ERROR_CONTAINS(with([](Json& json) { json["qwen25"]["head_routing"]["top_k"] = 9; }),
                        "config.json: head routing: top_k is 9, expected 1 to 3");
}

}  // namespace
}  // namespace qwen25
