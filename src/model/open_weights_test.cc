// Folders as other programs write them: what the reference loader accepts is read, and what would
// change the result is used or refused by its cause.
#include "model/open_weights.h"

#include <algorithm>
#include <functional>

#include "base/file.h"
#include "base/test_util.h"
#include "model/tiny_config_test_util.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

class FolderWeightsTest : public testing::Test {
 protected:
  FolderWeightsTest() { model_.Initialize(5); }

  std::vector<TensorToWrite> Tensors() const {
    std::vector<TensorToWrite> tensors;
    for (const NamedParameter& named : model_.parameters()) {
      tensors.push_back(TensorToWrite::FromFloat(
          named.name, ShapeOf(named), {named.parameter.data, named.parameter.rows * named.parameter.cols}));
    }
    return tensors;
  }
  // Writes the model with these tensors and this config.json, and loads it.
  Result<Model> With(const std::function<void(std::vector<TensorToWrite>&)>& change,
                     const Json& settings = {}) {
    std::vector<TensorToWrite> tensors = Tensors();
    if (change) change(tensors);
    QWEN25_RETURN_IF_ERROR(WriteSafetensors(directory_ / "model.safetensors", tensors));
    Json config = model_.config().ToJson();
    if (settings.is_object()) config.update(settings);
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(directory_ / "config.json", config.dump()));
    return Model::Load(directory_.path());
  }
  void Add(std::vector<TensorToWrite>& tensors, const char* name, std::span<const float> values,
           std::vector<uint64_t> shape = {}) {
    if (shape.empty()) shape = {values.size()};
    tensors.push_back(TensorToWrite::FromFloat(name, std::move(shape), values));
  }
  bool IsTheModel(const Model& other) const { return std::ranges::equal(other.weights(), model_.weights()); }

  TemporaryDirectory directory_;
  Model model_{TinyConfig()};
  const std::vector<float> zeros_ = std::vector<float>(640), ones_ = std::vector<float>(640, 1.0f);
};

TEST_F(FolderWeightsTest, TensorsThatNothingReadsAreNoObstacle) {
  for (const char* buffer :
       {"model.rotary_emb.inv_freq", "model.layers.1.self_attn.rotary_emb.inv_freq",
        "model.layers.0.self_attn.masked_bias", "model.layers.0.self_attn.bias", "model.position_ids"}) {
    ASSERT_OK_AND_ASSIGN(const Model model, With([&](auto& tensors) { Add(tensors, buffer, ones_); }));
    EXPECT_TRUE(IsTheModel(model)) << buffer;
    EXPECT_TRUE(model.remarks().empty()) << buffer;
  }
  // A bias of zeros adds nothing; another one would.
  const std::span<const float> zeros(zeros_.data(), 16), ones(ones_.data(), 16);
  EXPECT_OK(With([&](auto& tensors) { Add(tensors, "model.layers.0.self_attn.o_proj.bias", zeros); }));
  EXPECT_ERROR_CONTAINS(
      With([&](auto& tensors) { Add(tensors, "model.layers.0.self_attn.o_proj.bias", ones); }),
      "hold model.layers.0.self_attn.o_proj.bias, a bias that is not zero");
  EXPECT_ERROR_CONTAINS(
      With([&](auto& tensors) { Add(tensors, "model.layers.1.self_attn.q_norm.weight", ones); }),
      "hold a tensor model.layers.1.self_attn.q_norm.weight");
}

TEST_F(FolderWeightsTest, OtherPartsAreLeftOutWithANote) {
  ASSERT_OK_AND_ASSIGN(const Model model, With([&](auto& tensors) {
                         Add(tensors, "v_head.summary.weight", ones_);
                         Add(tensors, "model.layers.2.self_attn.q_proj.weight", ones_);
                       }));
  EXPECT_TRUE(IsTheModel(model));
  ASSERT_EQ(model.remarks().size(), 1u);
  EXPECT_NE(
      model.remarks()[0].find("the weights hold 2 tensors that a qwen2 model of 2 layers does not use: "),
      std::string::npos)
      << model.remarks()[0];
}

TEST_F(FolderWeightsTest, NamesWithoutTheirPrefixAreThoseOfTheBareModel) {
  ASSERT_OK_AND_ASSIGN(const Model model, With([&](auto& tensors) {
                         for (TensorToWrite& tensor : tensors) tensor.name = tensor.name.substr(6);
                       }));
  EXPECT_TRUE(IsTheModel(model));
  EXPECT_ERROR_CONTAINS(With(
                            [&](auto& tensors) {
                              for (TensorToWrite& tensor : tensors) tensor.name = tensor.name.substr(6);
                            },
                            {{"tie_word_embeddings", false}}),
                        "the weights hold no tensor lm_head.weight");
}

TEST_F(FolderWeightsTest, WhatAWrapperPutInFrontOfNamesIsNoObstacle) {
  for (const std::string prefix : {"base_model.model.", "language_model.", "_orig_mod.", "module."}) {
    ASSERT_OK_AND_ASSIGN(const Model model, With([&](auto& tensors) {
                           for (TensorToWrite& tensor : tensors) tensor.name = prefix + tensor.name;
                         }));
    EXPECT_TRUE(IsTheModel(model)) << prefix;
    EXPECT_TRUE(model.remarks().empty()) << prefix;
  }
  // The decoder inside a model of several towers, whose head is outside.
  ASSERT_OK_AND_ASSIGN(const Model inside, With([&](auto& tensors) {
                         for (TensorToWrite& tensor : tensors) {
                           tensor.name = "model.language_model." + tensor.name.substr(6);
                         }
                         Add(tensors, "lm_head.weight", ones_, {40, 16});
                       }));
  EXPECT_FALSE(inside.config().tie_word_embeddings);
  // An adapter that is not merged is not a wrapper.
  for (const char* name : {"model.layers.0.self_attn.q_proj.lora_A.weight",
                           "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"}) {
    EXPECT_ERROR_CONTAINS(With([&](auto& tensors) {
                            for (TensorToWrite& tensor : tensors) {
                              if (name[0] == 'b') tensor.name = "base_model.model." + tensor.name;
                            }
                            Add(tensors, name, ones_);
                          }),
                          "holds an adapter that is not merged into its model (tensor ");
  }
  ASSERT_OK(With({}));
  ASSERT_OK(WriteFileAtomically(directory_ / "adapter_config.json", "{}"));
  ASSERT_OK_AND_ASSIGN(const Model beside, Model::Load(directory_.path()));
  ASSERT_EQ(beside.remarks().size(), 1u);
  EXPECT_NE(beside.remarks()[0].find("adapter_config.json"), std::string::npos);
}

// Qwen2 weights are often published as a Llama model whose attention has biases.
TEST_F(FolderWeightsTest, BiasesOfLlamaModelsAreThoseOfQwen2) {
  for (const NamedParameter& named : model_.parameters()) {
    if (!named.name.ends_with("bias")) continue;
    for (size_t i = 0; i < named.parameter.cols; ++i) named.parameter.data[i] = 0.25f * static_cast<float>(i);
  }
  const std::span<const float> zeros(zeros_.data(), 16), ones(ones_.data(), 16);
  Json llama = {{"model_type", "llama"},  {"architectures", {"LlamaForCausalLM"}},
                {"attention_bias", true}, {"use_sliding_window", true},
                {"sliding_window", 8},    {"max_window_layers", 0}};
  const auto with = [&](const char* name, std::span<const float> bias) {
    return With(
        [&](auto& tensors) {
          if (name != nullptr) Add(tensors, name, bias);
        },
        llama);
  };
  ASSERT_OK_AND_ASSIGN(const Model plain, with(nullptr, {}));
  EXPECT_TRUE(IsTheModel(plain));
  EXPECT_EQ(plain.config(), model_.config());
  EXPECT_OK(with("model.layers.1.self_attn.o_proj.bias", zeros));
  EXPECT_ERROR_CONTAINS(with("model.layers.1.self_attn.o_proj.bias", ones),
                        "hold no tensor model.layers.0.self_attn.o_proj.bias");
  ASSERT_OK_AND_ASSIGN(const Model with_output,
                       With(
                           [&](auto& tensors) {
                             Add(tensors, "model.layers.0.self_attn.o_proj.bias", zeros);
                             Add(tensors, "model.layers.1.self_attn.o_proj.bias", ones);
                           },
                           llama));
  EXPECT_EQ(with_output.config().model_type, "llama");
  EXPECT_EQ(with_output.layers[1].o_bias.data[5], 1.0f);
  llama["mlp_bias"] = true;
  EXPECT_OK(with("model.layers.1.mlp.down_proj.bias", zeros));
  EXPECT_ERROR_CONTAINS(with("model.layers.1.mlp.down_proj.bias", ones), "a bias that is not zero");
  // Biases that nothing announces are not dropped; those that are announced and not there are none.
  llama["attention_bias"] = false;
  EXPECT_ERROR_CONTAINS(with(nullptr, {}), "a bias that is not zero");
  llama["attention_bias"] = true;
  ASSERT_OK_AND_ASSIGN(const Model without, With(
                                                [&](auto& tensors) {
                                                  std::erase_if(tensors, [](const TensorToWrite& tensor) {
                                                    return tensor.name.ends_with(".bias");
                                                  });
                                                },
                                                llama));
  EXPECT_EQ(without.config().model_type, "llama");
  EXPECT_FALSE(without.config().attention_bias);
}

TEST_F(FolderWeightsTest, AnOutputOfItsOwnIsUsedAlthoughTheConfigurationTiesIt) {
  const std::span<const float> embedding(model_.embed_tokens.data, 640);
  const auto with_head = [&](std::span<const float> head, DType dtype = DType::kF32) {
    return With([&](auto& tensors) {
      tensors.push_back(TensorToWrite::FromFloat("lm_head.weight", {40, 16}, head, dtype));
    });
  };
  // Written out, it is the embedding once more.
  ASSERT_OK_AND_ASSIGN(const Model tied, with_head(embedding));
  EXPECT_TRUE(tied.config().tie_word_embeddings);
  EXPECT_TRUE(tied.remarks().empty());

  std::vector<float> own(embedding.begin(), embedding.end());
  own[639] += 0.5f;
  ASSERT_OK_AND_ASSIGN(const Model model, with_head(own));
  EXPECT_FALSE(model.config().tie_word_embeddings);
  EXPECT_TRUE(std::ranges::equal(std::span(model.lm_head.data, 640), own));
  EXPECT_TRUE(std::ranges::equal(std::span(model.embed_tokens.data, 640), embedding));
  ASSERT_EQ(model.remarks().size(), 1u);
  EXPECT_NE(model.remarks()[0].find("an output projection of their own (lm_head.weight), which is used"),
            std::string::npos);
  // Packed, saved and fingerprinted it is that model, too.
  ThreadPool threads(2);
  ASSERT_OK_AND_ASSIGN(const Model packed,
                       Model::LoadPacked(directory_.path(), WeightFormat::kFloat32, threads));
  EXPECT_EQ(packed.remarks(), model.remarks());
  TemporaryDirectory other;
  ASSERT_OK(model.Save(other.path()));
  ASSERT_OK_AND_ASSIGN(const Model untied, Model::LoadPacked(other.path(), WeightFormat::kFloat32, threads));
  EXPECT_TRUE(untied.remarks().empty());
  EXPECT_EQ(packed.Fingerprint(threads), untied.Fingerprint(threads));
  ASSERT_OK(With({}));
  ASSERT_OK_AND_ASSIGN(const Model plain,
                       Model::LoadPacked(directory_.path(), WeightFormat::kFloat32, threads));
  EXPECT_NE(packed.Fingerprint(threads), plain.Fingerprint(threads));

  // Stored in fewer bits, the numbers decide.
  std::vector<float> exact(640);
  for (size_t i = 0; i < exact.size(); ++i) exact[i] = BFloat16ToFloat(FloatToBFloat16(embedding[i]));
  ASSERT_OK_AND_ASSIGN(const Model rounded, with_head(embedding, DType::kBF16));
  EXPECT_FALSE(rounded.config().tie_word_embeddings);
  std::copy(exact.begin(), exact.end(), model_.embed_tokens.data);
  ASSERT_OK_AND_ASSIGN(const Model same, with_head(exact, DType::kBF16));
  EXPECT_TRUE(same.config().tie_word_embeddings);
}

TEST_F(FolderWeightsTest, QuantizedFoldersAreNamedByTheirMethod) {
  for (const char* method : {"awq", "gptq", "bitsandbytes", "fp8", "compressed-tensors"}) {
    EXPECT_ERROR_CONTAINS(
        With({}, {{"quantization_config", {{"quant_method", method}, {"bits", 4}}}}),
        fmt::format("quantized with {} (config.json quantization_config), which is not read; use "
                    "the original or a GGUF file",
                    method));
  }
  EXPECT_OK(With({}, {{"quantization_config", nullptr}}));
  EXPECT_OK(With({}, {{"quantization_config", Json::object()}}));
  EXPECT_OK(With({}, {{"quantization_config", {{"quant_method", nullptr}}}}));
  EXPECT_ERROR_CONTAINS(With({}, {{"quantization_config", {{"load_in_4bit", true}}}}),
                        "quantized with bitsandbytes (config.json quantization_config)");
  EXPECT_OK(
      With({}, {{"quantization_config",
                 {{"quant_method", "bitsandbytes"}, {"load_in_4bit", false}, {"load_in_8bit", false}}}}));
  // Without the key the tensors tell.
  for (const auto& [ending, method] :
       std::vector<std::pair<const char*, const char*>>{{"g_idx", "gptq"},
                                                        {"qweight", "awq or gptq"},
                                                        {"weight_packed", "compressed-tensors"},
                                                        {"W_q", "hqq"},
                                                        {"q_weight", "exl2"},
                                                        {"trellis", "exl3"},
                                                        {"codes.codebooks", "aqlm"}}) {
    EXPECT_ERROR_CONTAINS(
        With([&](auto& tensors) {
          tensors[2].name = fmt::format("model.layers.0.self_attn.q_proj.{}", ending);
        }),
        fmt::format("quantized with {} (tensor model.layers.0.self_attn.q_proj.{})", method, ending));
  }
  // The cause comes before the shapes that it brings about.
  for (const auto& [ending, method] : std::vector<std::pair<const char*, const char*>>{
           {"biases", "mlx"}, {"weight.absmax", "bitsandbytes"}}) {
    EXPECT_ERROR_CONTAINS(With(
                              [&](auto& tensors) {
                                tensors[0] = TensorToWrite::FromFloat("model.embed_tokens.weight", {40, 2},
                                                                      std::span(ones_).first(80));
                                Add(tensors, "model.embed_tokens.scales", ones_);
                                tensors.back().name = fmt::format("model.embed_tokens.{}", ending);
                              },
                              {{"quantization", {{"group_size", 64}, {"bits", 4}}}}),
                          fmt::format("quantized with {} (tensor model.embed_tokens.{})", method, ending));
  }
  EXPECT_ERROR_CONTAINS(
      With([&](auto& tensors) { Add(tensors, "model.layers.0.mlp.up_proj.weight_scale_inv", ones_); }),
      "quantized with fp8 (tensor model.layers.0.mlp.up_proj.weight_scale_inv)");
  std::filesystem::remove(directory_ / "config.json");
  ASSERT_OK(WriteFileAtomically(directory_ / "adapter_config.json", "{}"));
  EXPECT_ERROR_CONTAINS(Model::Load(directory_.path()), "holds an adapter (adapter_config.json)");
}

TEST_F(FolderWeightsTest, NumbersThatWouldOverflowAreNamed) {
  std::vector<float> values(16, 1.0f);
  const auto with = [&](float number) {
    values[9] = number;
    return With([&](auto& tensors) { tensors[1].floats = values; });
  };
  EXPECT_OK(with(1e7f));
  for (const float number : {3e38f, -3e38f, 1e20f}) {
    EXPECT_ERROR_CONTAINS(
        with(number),
        fmt::format("tensor model.layers.0.input_layernorm.weight holds {:.6g} at element 9", number));
  }
}

// 1e7 is right as it is stored; float16 has no such number, and no scale of int8 or int4 reaches it.
TEST_F(FolderWeightsTest, FormatsRefuseWhatTheyCannotHold) {
  model_.layers[1].gate_up_proj.data[24 * 16 + 3] = 1e7f;  // up_proj, row 0
  ASSERT_OK(With({}));
  ThreadPool threads(2);
  for (const WeightFormat format : {WeightFormat::kFloat32, WeightFormat::kBFloat16}) {
    EXPECT_OK(Model::LoadPacked(directory_.path(), format, threads));
  }
  for (const WeightFormat format : {WeightFormat::kFloat16, WeightFormat::kInt8, WeightFormat::kInt4}) {
    EXPECT_ERROR_CONTAINS(
        Model::LoadPacked(directory_.path(), format, threads),
        fmt::format("model.layers.1.mlp.up_proj.weight holds 1e+07 at element 3, and {} keeps at "
                    "most",
                    WeightFormatName(format)));
  }
  TemporaryDirectory other;
  EXPECT_ERROR_CONTAINS(model_.Save(other / "half", DType::kF16),
                        "holds 1e+07 at element 3, and float16 keeps");
  EXPECT_FALSE(std::filesystem::exists(other / "half"));
  EXPECT_OK(model_.Save(other / "half", DType::kBF16));
}

// Folders that users reported, from beside the project.
TEST(SharedCasesTest, FoldersOfUsersLoadOrNameTheCause) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  const std::string cases = data + "/../cases/";
  if (!std::filesystem::exists(cases)) GTEST_SKIP() << "SKIPPED: needs the shared cases, " << cases;
  EXPECT_ERROR_CONTAINS(
      Model::Load(cases + "awq_folder/model"),
      "quantized with awq (config.json quantization_config), which is not read; use the original "
      "or a GGUF file");
  EXPECT_OK(Model::Load(cases + "sliding_window_unused/model"));
  EXPECT_OK(Model::Load(cases + "pad_token_outside_vocabulary/model"));
  ASSERT_OK_AND_ASSIGN(const Model own, Model::Load(cases + "tied_but_own_head/model"));
  EXPECT_FALSE(own.config().tie_word_embeddings);
  EXPECT_EQ(own.remarks().size(), 1u);
}

}  // namespace
}  // namespace qwen25
