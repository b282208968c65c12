#include "model/adapter/merged_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/test_util.h"
#include "model/adapter/adapter_set.h"
#include "model/adapter/adapter_test_util.h"
#include "model/decoder.h"
#include "model/open_weights.h"
#include "model/tiny_config_test_util.h"

namespace qwen25 {
namespace {

class MergedWeightsTest : public testing::Test {
 protected:
  // Writes a model with random weights.
  void Write(bool tied) {
    config_ = TinyConfig();
    config_.tie_word_embeddings = tied;
    Model model(config_);
    model.Initialize(1);
    for (float& weight : model.weights()) weight *= 5;
    ASSERT_OK(model.Save(directory_.path()));
  }
  Result<std::unique_ptr<WeightsReader>> Merge(std::vector<Adapter> adapters) {
    QWEN25_TRY(std::unique_ptr<WeightsReader> base, OpenWeights(directory_.path()));
    return MergedWeights::Make(std::move(base), std::move(adapters));
  }
  Model MergedModel(std::vector<Adapter> adapters) {
    return Model::Load(*Merge(std::move(adapters)).value()).value();
  }
  // The logits of some tokens, of which `set`, if there is one, changes all rows.
  std::vector<float> LogitsOf(const Model& model, const AdapterSet* set) {
    const std::vector<int32_t> tokens = {1, 5, 39, 0, 7, 7, 12}, starts = {0, 7};
    std::vector<int32_t> rows(tokens.size());
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<AdapterRows> adapters;
    if (set != nullptr) adapters.push_back({set, rows});
    DecoderOptions options;
    options.adapters = adapters;
    const Tensor hidden = DecoderForward(execution_, model, {tokens, rows, starts}, options);
    const Tensor logits = Logits(execution_, model, hidden, rows, adapters);
    return {logits.data(), logits.data() + logits.rows() * logits.cols()};
  }

  TemporaryDirectory directory_;
  ModelConfig config_;
  ThreadPool threads_{2};
  TensorPool tensors_;
  Scratch scratch_{2};
  Execution execution_{threads_, tensors_, scratch_, nullptr};
};

double WorstShare(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0, greatest = 0;
  EXPECT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::fabs(double{a[i]} - b[i]));
    greatest = std::max(greatest, std::fabs(double{b[i]}));
  }
  return worst / greatest;
}

TEST_F(MergedWeightsTest, MergedAndKeptApartGiveTheSameLogits) {
  for (const bool tied : {false, true}) {
    Write(tied);
    const std::vector<Adapter> adapters = {RandomAdapter(config_, 3, 1),
                                           RandomAdapter(config_, 9, 2, 0.1, "self_attn")};
    const auto set = AdapterSet::Make(config_, adapters, threads_).value();
    const Model base = Model::Load(directory_.path()).value();
    const std::vector<float> merged = LogitsOf(MergedModel(adapters), nullptr);
    EXPECT_LT(WorstShare(LogitsOf(base, set.get()), merged), 1e-5);
    EXPECT_GT(WorstShare(LogitsOf(base, nullptr), merged), 1e-2);
  }
}

// Each kind of module by itself, so that none can hide behind the others.
TEST_F(MergedWeightsTest, EveryModuleIsAppliedWhereItBelongs) {
  Write(/*tied=*/false);
  const Model base = Model::Load(directory_.path()).value();
  const std::vector<float> without = LogitsOf(base, nullptr);
  for (const char* module : {"embed_tokens", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj",
                             "down_proj", "lm_head"}) {
    const std::vector<Adapter> adapters = {RandomAdapter(config_, 2, 5, 0.3, module)};
    const auto set = AdapterSet::Make(config_, adapters, threads_).value();
    const std::vector<float> merged = LogitsOf(MergedModel(adapters), nullptr);
    EXPECT_LT(WorstShare(LogitsOf(base, set.get()), merged), 1e-5) << module;
    EXPECT_GT(WorstShare(without, merged), 1e-4) << module;
  }
}

TEST_F(MergedWeightsTest, UnchangedMatricesKeepTheirBits) {
  Write(/*tied=*/true);
  const Model base = Model::Load(directory_.path()).value();
  const Model merged = MergedModel({RandomAdapter(config_, 2, 1, 0.1, "layers.1.mlp")});
  EXPECT_TRUE(merged.config().tie_word_embeddings);
  for (size_t i = 0; i < base.parameters().size(); ++i) {
    const NamedParameter &a = base.parameters()[i], &b = merged.parameters()[i];
    const bool same = std::equal(a.parameter.data, a.parameter.data + a.parameter.size(), b.parameter.data);
    EXPECT_EQ(same, a.name.find("layers.1.mlp") == a.name.npos) << a.name;
  }
}

TEST_F(MergedWeightsTest, AChangedEmbeddingOrOutputIsTiedNoLonger) {
  Write(/*tied=*/true);
  const Model base = Model::Load(directory_.path()).value();
  for (const char* changed : {"embed_tokens", "lm_head"}) {
    const Model merged = MergedModel({RandomAdapter(config_, 2, 1, 0.1, changed)});
    EXPECT_FALSE(merged.config().tie_word_embeddings);
    const Parameter& kept = std::string_view(changed) == "lm_head" ? merged.embed_tokens : merged.lm_head;
    EXPECT_TRUE(std::equal(kept.data, kept.data + kept.size(), base.embed_tokens.data)) << changed;
    EXPECT_FALSE(
        std::equal(kept.data, kept.data + kept.size(),
                   std::string_view(changed) == "lm_head" ? merged.lm_head.data : merged.embed_tokens.data));
  }
}

// As inference packs it, in every kind of format.
TEST_F(MergedWeightsTest, APackedModelHoldsTheSums) {
  Write(/*tied=*/true);
  const std::vector<Adapter> adapters = {RandomAdapter(config_, 2, 1, 0.2, "layers"),
                                         RandomAdapter(config_, 2, 2, 0.2, "lm_head")};
  const std::vector<float> wanted = LogitsOf(MergedModel(adapters), nullptr);
  for (const auto& [format, most] :
       {std::pair{WeightFormat::kFloat32, 1e-6}, std::pair{WeightFormat::kBFloat16, 8e-2}}) {
    const auto merged = Merge(adapters).value();
    const Model packed = Model::LoadPacked(*merged, format, threads_).value();
    EXPECT_LT(WorstShare(LogitsOf(packed, nullptr), wanted), most);
  }
}

TEST_F(MergedWeightsTest, SumsThatNoWeightMayHaveAreRefusedByName) {
  Write(/*tied=*/true);
  Adapter adapter = RandomAdapter(config_, 1, 1, 1.0, "layers.0.self_attn.o_proj");
  adapter.matrices[0].up[0] = std::numeric_limits<float>::max();
  EXPECT_ERROR_CONTAINS(Model::Load(*Merge({adapter}).value()),
                        "model.layers.0.self_attn.o_proj.weight with its adapters");
  adapter.matrices[0].down.clear();
  EXPECT_ERROR_CONTAINS(Merge({adapter}), "made for another model");
}

}  // namespace
}  // namespace qwen25
