#include "model/adapter/adapter_set.h"

#include "base/test_util.h"
#include "model/adapter/adapter_test_util.h"
#include "model/tiny_config_test_util.h"

namespace qwen25 {
namespace {

TEST(AdapterTest, EveryMatrixCanBeChangedAndTheOutputEvenIfTied) {
  ModelConfig config = TinyConfig();
  std::vector<std::string> names;
  for (const NamedParameter& named : AdaptableParameters(config)) names.push_back(named.name);
  EXPECT_EQ(names.size(), 2 + 7 * config.num_hidden_layers);
  EXPECT_EQ(names.front(), "model.embed_tokens.weight");
  EXPECT_EQ(names[1], "model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(names.back(), "lm_head.weight");
  config.tie_word_embeddings = false;
  EXPECT_EQ(AdaptableParameters(config).size(), names.size());
}

TEST(AdapterTest, MatricesThatDoNotFitAreRefusedByName) {
  const ModelConfig config = TinyConfig();
  const Adapter good = RandomAdapter(config, 2, 1);
  EXPECT_OK(CheckAdapterFits(good, config));
  Adapter adapter = good;
  adapter.matrices[3].parameter = "model.layers.9.mlp.up_proj.weight";
  EXPECT_ERROR_CONTAINS(CheckAdapterFits(adapter, config),
                        "changes model.layers.9.mlp.up_proj.weight, which");
  adapter = good;
  adapter.matrices[3].parameter = "model.norm.weight";
  EXPECT_ERROR_CONTAINS(CheckAdapterFits(adapter, config), "model.norm.weight");
  adapter = good;
  adapter.matrices[2].up.pop_back();
  EXPECT_ERROR_CONTAINS(CheckAdapterFits(adapter, config), "made for another model");
  adapter = good;
  adapter.matrices[2].rank = 0;
  EXPECT_ERROR_CONTAINS(CheckAdapterFits(adapter, config), "at rank 0");
  adapter = good;
  adapter.matrices.push_back(adapter.matrices[4]);
  EXPECT_ERROR_CONTAINS(CheckAdapterFits(adapter, config), "twice");
  ThreadPool threads(1);
  EXPECT_ERROR_CONTAINS(AdapterSet::Make(config, {{adapter}}, threads), "twice");
}

TEST(AdapterSetTest, TheHashTellsWhatIsChangedAndByHowMuch) {
  const ModelConfig config = TinyConfig();
  ThreadPool threads(1);
  const auto hash = [&](std::vector<Adapter> adapters) {
    return AdapterSet::Make(config, adapters, threads).value()->hash();
  };
  const Adapter first = RandomAdapter(config, 2, 1), second = RandomAdapter(config, 2, 2);
  EXPECT_EQ(hash({first}), hash({first}));
  EXPECT_EQ(hash({}), Hash128());
  EXPECT_NE(hash({first}), Hash128());
  EXPECT_NE(hash({first}), hash({second}));
  EXPECT_NE(hash({first}), hash({first, second}));
  Adapter scaled = first;
  for (AdapterMatrix& matrix : scaled.matrices) {
    for (float& number : matrix.up) number *= 0.5f;
  }
  EXPECT_NE(hash({first}), hash({scaled}));
  Adapter elsewhere = RandomAdapter(config, 2, 1, 0.1, "layers.0.mlp.gate_proj");
  ASSERT_EQ(elsewhere.matrices.size(), 1u);
  const Hash128 gate = hash({elsewhere});
  elsewhere.matrices[0].parameter = "model.layers.0.mlp.up_proj.weight";
  EXPECT_NE(hash({elsewhere}), gate);
}

TEST(AdapterSetTest, FitsModelsOfItsShapeOnly) {
  const ModelConfig config = TinyConfig();
  const auto set = RandomAdapters(config, 2, 1);
  EXPECT_FALSE(set->empty());
  EXPECT_OK(set->CheckFits(config));
  ModelConfig other = config;
  other.num_hidden_layers = 3;
  EXPECT_ERROR_CONTAINS(set->CheckFits(other), "of another shape");
  EXPECT_OK(AdapterSet().CheckFits(other));
  EXPECT_TRUE(AdapterSet().empty());
  EXPECT_EQ(HashOf(nullptr), AdapterSet().hash());
}

}  // namespace
}  // namespace qwen25
