#include "model/gguf_model.h"

#include <rapidcheck.h>

#include <cmath>
#include <cstring>

#include "base/test_util.h"
#include "model/open_weights.h"

namespace qwen25 {
namespace {

const std::filesystem::path kFixtures = SourcePath("tests/reference/fixtures");

class GgufModelTest : public testing::Test {
 protected:
  // Writes a fixture's model as GGUF.
  void Write(const std::string& fixture, GgmlType type) {
    const auto source = OpenWeights(kFixtures / fixture);
    ASSERT_OK(source);
    GgufMetadata metadata;
    SetGgufConfig((*source)->config(), metadata);
    uint64_t last = 0, all = 0;
    ASSERT_OK(
        WriteGgufModel(path_, **source, type, false, metadata, threads_, [&](uint64_t done, uint64_t total) {
          EXPECT_GT(done, last);
          last = done;
          all = total;
        }));
    EXPECT_EQ(last, all);
  }
  // A file with the metadata of `config` and whatever tensors, all zero.
  Status WriteZeros(const GgufMetadata& metadata, std::vector<GgufTensorPlan> tensors) {
    QWEN25_TRY(GgufWriter writer, GgufWriter::Open(path_, metadata, tensors));
    for (const GgufTensorPlan& tensor : tensors) {
      QWEN25_RETURN_IF_ERROR(writer.Write(std::vector<std::byte>(tensor.NumBytes())));
    }
    return writer.Commit();
  }
  static ModelConfig SmallConfig() {
    ModelConfig config = ModelConfig::Load(kFixtures / "model_tied/config.json").value();
    config.eos_token_ids.clear();
    config.bos_token_id.reset();
    return config;
  }
  static std::vector<GgufTensorPlan> Tensors(const ModelConfig& config) {
    std::vector<GgufTensorPlan> plans;
    for (const NamedParameter& named : Model::ParametersOf(config)) {
      plans.push_back({GgufTensorName(named.name), GgmlType::kF32, ShapeOf(named)});
    }
    return plans;
  }

  TemporaryDirectory directory_;
  const std::string path_ = directory_ / "model.gguf";
  ThreadPool threads_{2};
};

TEST_F(GgufModelTest, WhatIsWrittenInFloat32IsTheSameModel) {
  for (const char* fixture :
       {"model_tied", "model_untied", "model_llama", "model_yarn", "model_gqa7", "model_wide_heads",
        "model_mistral", "model_ministral", "model_qwen2_window", "model_qwen3_window", "model_llama3",
        "model_longrope", "model_qwen3", "model_qwen3_bias", "model_llama_bias"}) {
    Write(fixture, GgmlType::kF32);
    ASSERT_OK_AND_ASSIGN(const Model wanted, Model::Load(kFixtures / fixture));
    ASSERT_OK_AND_ASSIGN(const Model model, Model::Load(path_));
    ASSERT_EQ(model.weights().size(), wanted.weights().size()) << fixture;
    EXPECT_EQ(std::memcmp(model.weights().data(), wanted.weights().data(), wanted.weights().size_bytes()), 0)
        << fixture;
    ModelConfig config = wanted.config();
    config.bos_token_id.reset();  // the tokenizer's keys
    config.eos_token_ids.clear();
    if (config.rope_scaling && config.rope_scaling->type == "longrope") {
      ASSERT_EQ(model.config().rope_scaling->type, "longrope");
      EXPECT_NEAR(model.config().rope_scaling->attention_factor, config.rope_scaling->attention_factor, 1e-6);
      config.rope_scaling->attention_factor = model.config().rope_scaling->attention_factor;
    }
    if (config.rope_scaling &&
        config.rope_scaling->type == "yarn") {  // the trained length is what counts; files may state either
      config.max_position_embeddings = config.rope_scaling->original_max_position_embeddings;
      EXPECT_NEAR(model.config().rope_scaling->attention_factor, config.rope_scaling->attention_factor, 1e-6);
      config.rope_scaling->attention_factor = model.config().rope_scaling->attention_factor;
    }
    EXPECT_EQ(model.config(), config) << fixture << "\n"
                                      << model.config().ToJson() << "\n"
                                      << config.ToJson();
    EXPECT_NEAR(model.attention_shape().scale, wanted.attention_shape().scale, 1e-6) << fixture;
  }
}

TEST_F(GgufModelTest, EveryFormatIsWrittenAndPackedAsStored) {
  ASSERT_OK_AND_ASSIGN(const Model wanted, Model::Load(kFixtures / "model_llama"));
  const auto relative_error = [&](const Model& model) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < wanted.weights().size(); ++i) {
      error += std::pow(double{model.weights()[i]} - wanted.weights()[i], 2);
      norm += std::pow(double{wanted.weights()[i]}, 2);
    }
    return std::sqrt(error / norm);
  };
  for (const auto& [type, format, error] : std::vector<std::tuple<GgmlType, WeightFormat, double>>{
           {GgmlType::kF16, WeightFormat::kFloat16, 5e-4},
           {GgmlType::kBF16, WeightFormat::kBFloat16, 3e-3},
           {GgmlType::kQ8_0, WeightFormat::kInt8, 0.01},
           {GgmlType::kQ4_0, WeightFormat::kInt4, 0.12},
           {GgmlType::kQ4_1, WeightFormat::kInt4Minimum, 0.1},
           {GgmlType::kQ5_0, WeightFormat::kInt8, 0.06},
           {GgmlType::kQ5_1, WeightFormat::kInt8Minimum, 0.05}}) {
    Write("model_llama", type);
    ASSERT_OK_AND_ASSIGN(const Model decoded, Model::Load(path_));
    EXPECT_LT(relative_error(decoded), error) << GgmlTypeName(type);
    ASSERT_OK_AND_ASSIGN(const Model packed, Model::LoadPacked(path_, std::nullopt, threads_));
    EXPECT_EQ(packed.layers[0].qkv_proj.packed.format, format);
    // Rows of 56 numbers are no whole number of blocks.
    EXPECT_EQ(packed.layers[1].down_proj.packed.format,
              type == GgmlType::kBF16 ? WeightFormat::kBFloat16 : WeightFormat::kFloat16);
    for (const auto& [whole, layer_weight] :
         {std::pair{&packed.layers[1].qkv_proj, &decoded.layers[1].qkv_proj},
          std::pair{&packed.layers[1].down_proj, &decoded.layers[1].down_proj},
          std::pair{&packed.lm_head, &decoded.lm_head}}) {
      std::vector<float> row(whole->cols);
      for (size_t r = 0; r < whole->rows; ++r) {
        UnpackRow(whole->packed, whole->rows, whole->cols, r, row.data());
        ASSERT_EQ(std::memcmp(row.data(), layer_weight->data + r * whole->cols, row.size() * 4), 0)
            << GgmlTypeName(type) << " row " << r;
      }
    }
  }
}

TEST_F(GgufModelTest, PartsOfDifferentFormatsShareOneMatrix) {
  const ModelConfig config = SmallConfig();
  GgufMetadata metadata;
  SetGgufConfig(config, metadata);
  std::vector<GgufTensorPlan> tensors = Tensors(config);
  for (GgufTensorPlan& tensor : tensors) {
    if (tensor.name.ends_with("attn_q.weight") || tensor.name.ends_with("attn_k.weight")) {
      tensor.type = GgmlType::kQ4_1;
    }
    if (tensor.name.ends_with("attn_v.weight")) tensor.type = GgmlType::kQ8_0;
  }
  ASSERT_OK(WriteZeros(metadata, tensors));
  ASSERT_OK_AND_ASSIGN(const Model packed, Model::LoadPacked(path_, std::nullopt, threads_, true));
  EXPECT_EQ(packed.layers[0].qkv_proj.packed.format, WeightFormat::kInt8Minimum);
  EXPECT_EQ(packed.layers[0].o_proj.packed.format, WeightFormat::kFloat32);
  ASSERT_OK(packed.WritePackedCache(path_, threads_));
  EXPECT_TRUE(std::filesystem::exists(path_ + ".qwen25-float32.packed"));
  ASSERT_OK_AND_ASSIGN(const Model mapped, Model::LoadPacked(path_, std::nullopt, threads_, true));
  EXPECT_EQ(mapped.layers[0].qkv_proj.packed.format, WeightFormat::kInt8Minimum);
  EXPECT_EQ(mapped.packed_bytes(), packed.packed_bytes());
}

TEST_F(GgufModelTest, TheOrderOfRowsGoesBothWays) {
  EXPECT_TRUE(rc::check("inverse", [] {
    const size_t head_dim = 2 * *rc::gen::inRange<size_t>(1, 65), row = *rc::gen::inRange<size_t>(0, 1000);
    RC_ASSERT(HuggingFaceRowOf(GgufRowOf(row, head_dim), head_dim) == row);
    RC_ASSERT(GgufRowOf(HuggingFaceRowOf(row, head_dim), head_dim) == row);
  }));
  EXPECT_EQ(GgufRowOf(8 + 1, 8), 8u + 2);
  EXPECT_EQ(GgufRowOf(8 + 4, 8), 8u + 1);
}

TEST_F(GgufModelTest, OutputsKeepSixBitsAndOddRowsFindAFormat) {
  ModelConfig config = SmallConfig();
  config.hidden_size = 512;
  config.intermediate_size = 96;
  const auto type_of = [&](const char* name, GgmlType wanted) {
    for (const NamedParameter& named : Model::ParametersOf(config)) {
      if (named.name == name) return GgufTypeFor(named, config, wanted);
    }
    return GgmlType::kF32;
  };
  EXPECT_EQ(type_of("model.embed_tokens.weight", GgmlType::kQ4_K), GgmlType::kQ6_K);
  EXPECT_EQ(type_of("model.embed_tokens.weight", GgmlType::kQ8_0), GgmlType::kQ8_0);
  EXPECT_EQ(type_of("model.layers.0.mlp.up_proj.weight", GgmlType::kQ4_K), GgmlType::kQ4_K);
  EXPECT_EQ(type_of("model.layers.0.mlp.down_proj.weight", GgmlType::kQ4_K), GgmlType::kQ5_0);
  EXPECT_EQ(type_of("model.layers.0.mlp.down_proj.weight", GgmlType::kQ5_K), GgmlType::kQ5_1);
  EXPECT_EQ(type_of("model.layers.0.mlp.down_proj.weight", GgmlType::kQ6_K), GgmlType::kQ8_0);
  EXPECT_EQ(type_of("model.norm.weight", GgmlType::kQ4_0), GgmlType::kF32);
  config.tie_word_embeddings = false;
  EXPECT_EQ(type_of("model.embed_tokens.weight", GgmlType::kQ4_0), GgmlType::kQ4_0);
  EXPECT_EQ(type_of("lm_head.weight", GgmlType::kQ4_0), GgmlType::kQ6_K);
}

// Metadata and tensors that change nothing, as other writers leave them.
TEST_F(GgufModelTest, WhatDoesNotChangeTheResultIsNoObstacle) {
  const ModelConfig config = SmallConfig();
  const auto read = [&](const std::function<void(GgufMetadata&)>& add,
                        std::vector<std::pair<GgufTensorPlan, float>> more = {}) -> Result<ModelConfig> {
    GgufMetadata metadata;
    SetGgufConfig(config, metadata);
    if (add) add(metadata);
    std::vector<GgufTensorPlan> tensors = Tensors(config);
    for (const auto& [plan, value] : more) tensors.push_back(plan);
    QWEN25_TRY(GgufWriter writer, GgufWriter::Open(path_, metadata, tensors));
    for (size_t i = 0; i < tensors.size(); ++i) {
      const size_t extra = i + more.size() - tensors.size();  // wraps for those of the model
      const std::vector<float> values(tensors[i].NumBytes() / sizeof(float),
                                      extra < more.size() ? more[extra].second : 0.0f);
      QWEN25_RETURN_IF_ERROR(writer.Write(std::as_bytes(std::span(values))));
    }
    QWEN25_RETURN_IF_ERROR(writer.Commit());
    QWEN25_TRY(const Model model, Model::LoadPacked(path_, std::nullopt, threads_));
    return model.config();
  };
  ASSERT_OK_AND_ASSIGN(const ModelConfig plain, read({}));
  for (const char* key : {"bos_token_id", "eos_token_id", "eot_token_id"}) {
    for (const uint32_t id : {4000u, 4294967295u}) {
      const auto with = read([&](auto& m) { m.SetU32(std::string("tokenizer.ggml.") + key, id); });
      ASSERT_OK(with);
      EXPECT_EQ(*with, plain) << key;
    }
  }
  for (const auto& change : std::vector<std::function<void(GgufMetadata&)>>{
           [](auto& m) { m.SetI32s("qwen2.attention.sliding_window", std::vector<int32_t>(2, 1 << 20)); },
           [](auto& m) { m.SetU32("qwen2.attention.sliding_window", 1 << 20); },
           [](auto& m) { m.SetBool("qwen2.attention.causal", true); },
           [](auto& m) { m.SetU32("qwen2.pooling_type", 3); },
           [](auto& m) { m.SetString("qwen2.rope.scaling.type", "none"); },
       }) {
    const auto with = read(change);
    ASSERT_OK(with);
    EXPECT_EQ(*with, plain);
  }
  EXPECT_OK(read({}, {{{"rope_freqs.weight", GgmlType::kF32, {4}}, 1.0f}}));
  EXPECT_OK(read({}, {{{"blk.0.attn_output.bias", GgmlType::kF32, {32}}, 0.0f}}));
  ASSERT_OK_AND_ASSIGN(const ModelConfig divided,
                       read({}, {{{"rope_freqs.weight", GgmlType::kF32, {4}}, 8.0f}}));
  EXPECT_EQ(divided.rope_scaling->divisors, std::vector<double>(4, 8.0));
  EXPECT_ERROR_CONTAINS(read({}, {{{"rope_freqs.weight", GgmlType::kF32, {3}}, 8.0f}}),
                        "rope_freqs.weight is F32 of shape [3], expected F32 of shape [4]");
  EXPECT_ERROR_CONTAINS(read([](auto& m) { m.SetF32("qwen2.rope.scaling.factor", 4); },
                             {{{"rope_freqs.weight", GgmlType::kF32, {4}}, 8.0f}}),
                        "has both rope_freqs.weight and rope.scaling.type linear");
  EXPECT_ERROR_CONTAINS(read({}, {{{"blk.0.attn_output.bias", GgmlType::kF32, {32}}, 0.5f}}),
                        "blk.0.attn_output.bias is a bias that is not zero");
  // A factor without a type is linear scaling, as llama.cpp reads it.
  ASSERT_OK_AND_ASSIGN(const ModelConfig scaled,
                       read([](auto& m) { m.SetF32("qwen2.rope.scaling.factor", 4); }));
  ASSERT_TRUE(scaled.rope_scaling.has_value());
  EXPECT_EQ(scaled.rope_scaling->type, "linear");
  EXPECT_EQ(scaled.rope_scaling->factor, 4);
}

// llama.cpp adds the biases that a file of architecture "llama" has; its converter orders those of q and k
// like the rows of their weights.
TEST_F(GgufModelTest, BiasesOfLlamaFilesAreUsed) {
  Model model(SmallConfig());
  model.Initialize(9);
  for (const NamedParameter& named : model.parameters()) {
    if (!named.name.ends_with("bias")) continue;
    for (size_t i = 0; i < named.parameter.cols; ++i) named.parameter.data[i] = static_cast<float>(i) - 3;
  }
  ASSERT_OK(model.Save(directory_ / "folder"));
  ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(directory_ / "folder"));
  // The file of a llama model of the same shape has the metadata and the order; the biases come to it.
  ModelConfig llama = SmallConfig();
  llama.model_type = "llama";
  GgufMetadata metadata;
  SetGgufConfig(llama, metadata);
  std::vector<GgufTensorPlan> plans;
  const std::vector<NamedParameter> parameters = Model::ParametersOf(SmallConfig());
  for (const NamedParameter& named : parameters) {
    plans.push_back({GgufTensorName(named.name), GgmlType::kF32, ShapeOf(named)});
  }
  ASSERT_OK_AND_ASSIGN(GgufWriter writer, GgufWriter::Open(path_, metadata, plans));
  for (const NamedParameter& named : parameters) {
    const size_t rows = named.parameter.rows, cols = named.parameter.cols;
    std::vector<float> values(rows * cols);
    ASSERT_OK(source->ReadRows(named, 0, rows, values.data()));
    if (TurnsByRotation(named.name)) {
      const std::vector<float> ordered = values;
      const size_t count = std::max(rows, named.is_vector ? cols : 0), width = named.is_vector ? 1 : cols;
      for (size_t i = 0; i < count; ++i) {
        std::copy_n(ordered.begin() + static_cast<ptrdiff_t>(i * width), width,
                    values.begin() + static_cast<ptrdiff_t>(GgufRowOf(i, llama.head_dim) * width));
      }
    }
    ASSERT_OK(writer.Write(std::as_bytes(std::span(values))));
  }
  ASSERT_OK(writer.Commit());
  ASSERT_OK_AND_ASSIGN(const Model read, Model::Load(path_));
  EXPECT_EQ(read.config().model_type, "qwen2");
  EXPECT_TRUE(std::ranges::equal(read.weights(), model.weights()));
  // Written again it is the same file of weights, in each order.
  const std::string again = directory_ / "again.gguf";
  ASSERT_OK_AND_ASSIGN(const auto file, OpenWeights(path_));
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kBF16}) {
    ASSERT_OK(WriteGgufModel(again, *file, type, false, metadata, threads_, {}));
    ASSERT_OK_AND_ASSIGN(const Model copy, Model::Load(again));
    for (size_t i = 0; i < model.weights().size(); ++i) {
      ASSERT_NEAR(copy.weights()[i], model.weights()[i], type == GgmlType::kF32 ? 0 : 0.02) << i;
    }
  }
}

// What a number becomes must be a number: a file that this program would refuse is not written.
TEST_F(GgufModelTest, NumbersThatAFormatCannotHoldAreNamedAndNotWritten) {
  Model model(SmallConfig());
  model.Initialize(3);
  model.layers[1].down_proj.data[5] = 1e7f;
  ASSERT_OK(model.Save(directory_ / "folder"));
  ASSERT_OK_AND_ASSIGN(const auto source, OpenWeights(directory_ / "folder"));
  GgufMetadata metadata;
  SetGgufConfig(source->config(), metadata);
  const auto write = [&](GgmlType type) {
    return WriteGgufModel(path_, *source, type, false, metadata, threads_, {});
  };
  EXPECT_OK(write(GgmlType::kF32));
  EXPECT_OK(write(GgmlType::kBF16));
  EXPECT_OK(Model::Load(path_));
  std::filesystem::remove(path_);
  for (const GgmlType type : {GgmlType::kF16, GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ5_1}) {
    EXPECT_ERROR_CONTAINS(write(type), "model.layers.1.mlp.down_proj.weight holds 1e+07 at element 5, and ");
    EXPECT_FALSE(std::filesystem::exists(path_));
  }
}

// What a wrong file says: a change of the metadata or of the tensors, and a part of the message.
// Long: a list of faults.
TEST_F(GgufModelTest, SaysWhatIsWrong) {
  const ModelConfig config = SmallConfig();
  const auto with = [&](const std::function<void(GgufMetadata&)>& add,
                        const std::function<void(std::vector<GgufTensorPlan>&)>& change = {},
                        bool standard = true) {
    GgufMetadata metadata;
    if (standard) SetGgufConfig(config, metadata);
    if (add) add(metadata);
    std::vector<GgufTensorPlan> tensors = Tensors(config);
    if (change) change(tensors);
    QWEN25_CHECK(WriteZeros(metadata, tensors).ok());
    return Model::LoadPacked(path_, std::nullopt, threads_);
  };
  ASSERT_OK(with({}));
  EXPECT_ERROR_CONTAINS(with({}, {}, false), "no string general.architecture");
  EXPECT_ERROR_CONTAINS(with([](auto& m) { m.SetString("general.architecture", "mamba"); }, {}, false),
                        "architecture \"mamba\" is unknown");
  EXPECT_ERROR_CONTAINS(with([](auto& m) { m.SetString("general.architecture", "qwen2"); }, {}, false),
                        "the metadata has no qwen2.embedding_length");
  EXPECT_ERROR_CONTAINS(with(
                            [](auto& m) {
                              m.SetString("general.architecture", "qwen2");
                              m.SetString("qwen2.embedding_length", "wide");
                            },
                            {}, false),
                        "qwen2.embedding_length is of type string");
  EXPECT_ERROR_CONTAINS(with(
                            [](auto& m) {
                              m.SetString("general.architecture", "qwen2");
                              m.SetI32s("qwen2.embedding_length", std::vector<int32_t>{32, 48});
                            },
                            {}, false),
                        "differs by layer");
  EXPECT_ERROR_CONTAINS(with([](auto& m) { m.SetU32("qwen2.expert_count", 8); }), "expert_count is 8");
  EXPECT_ERROR_CONTAINS(with([](auto& m) {
                          m.SetString("qwen2.rope.scaling.type", "longrope");
                          m.SetF32("qwen2.rope.scaling.factor", 4);
                        }),
                        "holds no tensor rope_factors_short.weight");
  EXPECT_ERROR_CONTAINS(with([](auto& m) {
                          m.SetString("qwen2.rope.scaling.type", "llama3");
                          m.SetF32("qwen2.rope.scaling.factor", 4);
                        }),
                        "rope.scaling.type llama3 is unknown, expected none, linear, yarn or longrope");
  EXPECT_ERROR_CONTAINS(with(
                            [](auto& m) {
                              m.SetU32("qwen2.rope.scaling.original_context_length", 64);
                              m.SetString("qwen2.rope.scaling.type", "longrope");
                            },
                            [](auto& t) {
                              t.push_back({"rope_factors_short.weight", GgmlType::kF32, {4}});
                              t.push_back({"rope_factors_long.weight", GgmlType::kF32, {4}});
                            }),
                        "has the factor 0, expected 0.001 to 1000000");
  EXPECT_ERROR_CONTAINS(with([](auto& m) { m.SetBool("qwen2.attention.causal", false); }),
                        "attention.causal");
  EXPECT_ERROR_CONTAINS(with([](auto& m) { m.SetU32("qwen2.attention.sliding_window", 8); }),
                        "attention.sliding_window is 8, and no attention.sliding_window_pattern");
  EXPECT_ERROR_CONTAINS(
      with([](auto& m) {
        m.SetU32("qwen2.attention.sliding_window", 8);
        m.SetBools("qwen2.attention.sliding_window_pattern", {true});
      }),
      "sliding_window_pattern is of type array of bool, expected a flag for each of 2 layers");
  const auto by_period = with([](auto& m) {
    m.SetU32("qwen2.attention.sliding_window", 8);
    m.SetU32("qwen2.attention.sliding_window_pattern", 2);
  });
  ASSERT_OK(by_period);
  EXPECT_EQ(by_period->config().sliding_layers, (std::vector<bool>{true, false}));
  EXPECT_ERROR_CONTAINS(with({}, [](auto& t) { t.erase(t.begin()); }), "holds no matrix token_embd.weight");
  EXPECT_ERROR_CONTAINS(with({}, [](auto& t) { t.erase(t.begin() + 3); }),
                        "holds no tensor blk.0.attn_k.weight");
  EXPECT_ERROR_CONTAINS(with({}, [](auto& t) { t[0].shape[1] = 64; }),
                        "token_embd.weight has shape [96, 64], but embedding_length is 32");
  EXPECT_ERROR_CONTAINS(with({}, [](auto& t) { t[2].shape[0] += 1; }),
                        "blk.0.attn_q.weight has shape [33, 32]");
  EXPECT_ERROR_CONTAINS(with({},
                             [](auto& t) {
                               t.push_back({"blk.9.attn_q.weight", GgmlType::kF32, {4}});
                             }),
                        "holds a tensor blk.9.attn_q.weight that a qwen2 model of 2 layers does not have");
  EXPECT_ERROR_CONTAINS(with({},
                             [](auto& t) {
                               t.push_back({"rope_freqs.weight", GgmlType::kF32, {4}});
                             }),
                        "has the factor 0, expected 0.001 to 1000000");
  EXPECT_ERROR_CONTAINS(with({}, [](auto& t) { t[2].type = static_cast<GgmlType>(20); }),
                        "blk.0.attn_q.weight is stored as IQ4_NL");
  EXPECT_ERROR_CONTAINS(Model::Load(directory_ / "none.gguf"), "none.gguf: cannot open");
}

}  // namespace
}  // namespace qwen25
