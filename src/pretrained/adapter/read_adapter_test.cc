// Adapters from disk, held to PEFT: fixtures of tests/reference/make_adapter_fixtures.py.
#include "pretrained/adapter/read_adapter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>

#include "base/file.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "model/decoder.h"
#include "model/tiny_config_test_util.h"
#include "store/gguf.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

const std::filesystem::path kFixtures = SourcePath("tests/reference/fixtures");
// Several times what PEFT itself is off in float32 (the fixtures' metadata have it).
constexpr double kMostError = 2e-5;

struct Expected {
  std::vector<int32_t> tokens;
  std::vector<float> logits;

  explicit Expected(const std::string& name) {
    const SafetensorsReader file =
        SafetensorsReader::Open(kFixtures / ("adapter_" + name) / "expected.safetensors").value();
    const TensorInfo& of_tokens = *file.Find("tokens");
    tokens.resize(of_tokens.NumElements());
    std::memcpy(tokens.data(), of_tokens.bytes.data(), of_tokens.bytes.size());
    logits.resize(file.Find("logits")->NumElements());
    QWEN25_CHECK(CopyToFloat(*file.Find("logits"), 0, logits, true).ok());
  }
};

// The greatest error of all logits, as a share of the greatest logit.
double WorstError(const Model& model, const AdapterSet* set, const Expected& expected) {
  ThreadPool threads(2);
  TensorPool tensors;
  Scratch scratch(2);
  Execution execution{threads, tensors, scratch, nullptr};
  const std::vector<int32_t> starts = {0, static_cast<int32_t>(expected.tokens.size())};
  std::vector<int32_t> rows(expected.tokens.size());
  std::iota(rows.begin(), rows.end(), 0);
  std::vector<AdapterRows> adapters;
  if (set != nullptr) adapters.push_back({set, rows});
  DecoderOptions options;
  options.adapters = adapters;
  const Tensor hidden = DecoderForward(execution, model, {expected.tokens, rows, starts}, options);
  const Tensor logits = Logits(execution, model, hidden, rows, adapters);
  double worst = 0, greatest = 0;
  for (size_t i = 0; i < expected.logits.size(); ++i) {
    worst = std::max(worst, std::fabs(double{logits.data()[i]} - expected.logits[i]));
    greatest = std::max(greatest, std::fabs(double{expected.logits[i]}));
  }
  return worst / greatest;
}

struct Fixture {
  const char *name, *base;
};
class AdapterFixtureTest : public testing::TestWithParam<Fixture> {
 protected:
  std::filesystem::path folder() const { return kFixtures / fmt::format("adapter_{}", GetParam().name); }
  std::filesystem::path base() const { return kFixtures / fmt::format("model_{}", GetParam().base); }
};

TEST_P(AdapterFixtureTest, KeptApartGivesTheLogitsOfPeft) {
  const Model model = Model::Load(base()).value();
  const Expected expected(GetParam().name);
  EXPECT_GT(WorstError(model, nullptr, expected), 0.1);
  ThreadPool threads(2);
  for (const std::filesystem::path& path : {folder(), folder() / "adapter.gguf"}) {
    const AdapterSource sources[] = {{path}};
    ASSERT_OK_AND_ASSIGN(const auto set, LoadAdapterSet(sources, model.config(), threads));
    EXPECT_LT(WorstError(model, set.get(), expected), kMostError) << path;
  }
}

TEST_P(AdapterFixtureTest, MergedGivesTheLogitsOfPeft) {
  const Expected expected(GetParam().name);
  for (const std::filesystem::path& path : {folder(), folder() / "adapter.gguf"}) {
    const AdapterSource sources[] = {{path}};
    ASSERT_OK_AND_ASSIGN(const auto weights, OpenMergedWeights(base(), sources));
    ASSERT_OK_AND_ASSIGN(const Model model, Model::Load(*weights));
    EXPECT_LT(WorstError(model, nullptr, expected), kMostError) << path;
  }
}

// A scale, and adapters that add up: 0.75 and 0.25 of the same one are all of it.
TEST_P(AdapterFixtureTest, PartsOfAnAdapterAddUp) {
  const Model model = Model::Load(base()).value();
  ThreadPool threads(2);
  const AdapterSource parts[] = {{folder(), 0.75}, {folder() / "adapter.gguf", 0.25}};
  ASSERT_OK_AND_ASSIGN(const auto set, LoadAdapterSet(parts, model.config(), threads));
  EXPECT_LT(WorstError(model, set.get(), Expected(GetParam().name)), kMostError);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, AdapterFixtureTest,
                         testing::Values(Fixture{"everything", "untied"}, Fixture{"tied", "tied"},
                                         Fixture{"llama", "llama"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(AdapterSourceTest, APathMayEndInAScale) {
  const auto expect = [](const char* text, const char* path, double scale) {
    ASSERT_OK_AND_ASSIGN(const AdapterSource source, ParseAdapterSource(text));
    EXPECT_EQ(source.path, path);
    EXPECT_EQ(source.scale, scale);
  };
  expect("some/adapter", "some/adapter", 1);
  expect("a.gguf=0.5", "a.gguf", 0.5);
  expect("a=b=-2e1", "a=b", -20);
  expect("a=0", "a", 0);
  for (const char* bad : {"a=x", "a=1.0x", "a=nan", "a=inf", "a=1e999", "a="}) {
    EXPECT_ERROR_CONTAINS(ParseAdapterSource(bad), "is not a scale, expected a finite number");
  }
  EXPECT_ERROR_CONTAINS(ParseAdapterSource(""), "the path is empty");
  EXPECT_ERROR_CONTAINS(ParseAdapterSource("=2"), "the path is empty");
  TemporaryDirectory directory;
  ASSERT_OK(CreateDirectories(directory / "r=8"));
  EXPECT_EQ(ParseAdapterSource(directory / "r=8").value().path, directory / "r=8");
}

TEST(ReadAdapterTest, APathThatIsNoAdapterIsExplained) {
  TemporaryDirectory directory;
  const ModelConfig config = TinyConfig();
  EXPECT_ERROR_CONTAINS(ReadAdapter({directory / "none"}, config), "there is no such adapter");
  EXPECT_ERROR_CONTAINS(ReadAdapter({directory.path()}, config), "adapter_config.json");
  std::ofstream(directory / "adapter_config.json") << R"({"peft_type": "LORA"})";
  EXPECT_ERROR_CONTAINS(ReadAdapter({directory.path()}, config), "there is no adapter_model.safetensors");
  std::ofstream(directory / "adapter_model.bin") << "x";
  EXPECT_ERROR_CONTAINS(ReadAdapter({directory.path()}, config), "save it again with safe_serialization");
}

// A PEFT folder of one module, to be damaged.
class PeftFilesTest : public testing::Test {
 protected:
  struct Factor {
    std::string name;
    std::vector<uint64_t> shape;
    DType dtype = DType::kF32;
    float value = 0.5f;
  };
  Result<Adapter> Read(const std::vector<Factor>& factors, double scale = 1) {
    std::ofstream(directory_ / "adapter_config.json") << R"({"peft_type": "LORA", "r": 2, "lora_alpha": 2})";
    std::vector<std::vector<float>> numbers;
    std::vector<TensorToWrite> tensors;
    for (const Factor& factor : factors) {
      const size_t count =
          std::accumulate(factor.shape.begin(), factor.shape.end(), size_t{1}, std::multiplies());
      numbers.emplace_back(count, factor.value);
      if (factor.dtype == DType::kI32) {
        tensors.push_back(TensorToWrite::FromBytes(factor.name, factor.dtype, factor.shape,
                                                   std::as_bytes(std::span(numbers.back()))));
      } else {
        tensors.push_back(TensorToWrite::FromFloat(factor.name, factor.shape, numbers.back(), factor.dtype));
      }
    }
    QWEN25_RETURN_IF_ERROR(WriteSafetensors(directory_ / "adapter_model.safetensors", tensors));
    return ReadAdapter({directory_.path(), scale}, config_);
  }

  TemporaryDirectory directory_;
  const ModelConfig config_ = TinyConfig();  // width 16, queries 16, keys 8, feed-forward 24, vocabulary 40
  const std::string k_ = "base_model.model.model.layers.1.self_attn.k_proj";
  const Factor a_ = {k_ + ".lora_A.weight", {2, 16}}, b_ = {k_ + ".lora_B.weight", {8, 2}};
};

TEST_F(PeftFilesTest, AModuleIsReadWithItsScale) {
  ASSERT_OK_AND_ASSIGN(const Adapter adapter, Read({a_, b_}, -3));
  ASSERT_EQ(adapter.matrices.size(), 1u);
  EXPECT_EQ(adapter.matrices[0].parameter, "model.layers.1.self_attn.k_proj.weight");
  EXPECT_EQ(adapter.matrices[0].rank, 2u);
  EXPECT_EQ(adapter.matrices[0].up, std::vector<float>(16, -1.5f));
  EXPECT_EQ(adapter.matrices[0].down, std::vector<float>(32, 0.5f));
}

TEST_F(PeftFilesTest, MalformedFilesAreExplained) {
  const std::string model = "base_model.model.model.";
  const float nan = std::nanf("");
  const struct {
    std::vector<Factor> factors;
    std::string message;
  } cases[] = {
      {{}, "holds no tensors of an adapter"},
      {{a_}, "but not the other factor of the change of model.layers.1.self_attn.k_proj.weight"},
      {{b_}, "but not the other factor"},
      {{{a_.name, {3, 16}}, {b_.name, {8, 3}}}, "have rank 3, expected 2 by adapter_config.json"},
      {{{a_.name, {2, 15}}, b_}, "has shape [2, 15], expected the rank and 16"},
      {{{a_.name, {32}}, b_}, "has shape [32], expected the rank and 16"},
      {{{a_.name, {2, 1, 16}}, b_}, "has shape [2, 1, 16]"},
      {{{a_.name, {0, 16}}, {b_.name, {8, 0}}}, "has shape [0, 16]"},
      {{a_, {b_.name, {16, 2}}}, "has shape [16, 2], expected [8, 2]"},
      {{a_, {b_.name, {8, 3}}}, "has shape [8, 3], expected [8, 2]"},
      {{a_, {b_.name, {8, 2}, DType::kI32}}, "is stored as I32, expected F32, F16 or BF16"},
      {{a_, {b_.name, {8, 2}, DType::kF32, nan}}, "holds nan at element 0"},
      {{{model + "layers.2.self_attn.k_proj.lora_A.weight", {2, 16}}},
       "changes model.layers.2.self_attn.k_proj.weight, which a qwen2 model of 2 layers does not have"},
      {{{model + "layers.1.self_attn.qkv_proj.lora_A.weight", {2, 16}}}, "which adapters cannot change"},
      {{{model + "norm.lora_A.weight", {2, 16}}}, "changes model.norm.weight"},
      {{{k_ + ".lora_magnitude_vector", {8}}}, "is DoRA's magnitudes"},
      {{{k_ + ".lora_B.bias", {8}}}, "is a trained bias"},
      {{{"base_model.model.lm_head.weight", {40, 16}}}, "is trained weights of a whole module"},
      {{{model + "embed_tokens.base_layer.weight", {40, 16}}}, "save_embedding_layers=False"},
      {{{"model.layers.1.self_attn.k_proj.lora_A.weight", {2, 16}}}, "begin with base_model.model."},
      {{{k_ + ".lora_A.default.weight", {2, 16}}}, "of a kind that is not handled"},
      {{{k_ + ".lora_embedding_A", {2, 16}}}, "of a kind that is not handled"},
      {{{model + "embed_tokens.lora_A.weight", {2, 40}}}, "of a kind that is not handled"},
      {{{model + "embed_tokens.lora_embedding_A", {2, 39}},
        {model + "embed_tokens.lora_embedding_B", {16, 2}}},
       "has shape [2, 39], expected [2, 40]"},
      {{{model + "embed_tokens.lora_embedding_A", {2, 40}},
        {model + "embed_tokens.lora_embedding_B", {2, 16}}},
       "expected the rank and 16"},
  };
  for (const auto& bad : cases) EXPECT_ERROR_CONTAINS(Read(bad.factors), bad.message);
  EXPECT_ERROR_CONTAINS(Read({a_, b_}, 1e300), "not finite, at a scale of 1e+300");
}

TEST_F(PeftFilesTest, ACutFileIsExplained) {
  ASSERT_OK(Read({a_, b_}));
  const std::filesystem::path file = directory_ / "adapter_model.safetensors";
  const auto whole = std::filesystem::file_size(file);
  for (uintmax_t size = 0; size < whole; size += 7) {
    std::filesystem::resize_file(file, size);
    EXPECT_ERROR_CONTAINS(ReadAdapter({directory_.path()}, config_), "adapter_model.safetensors") << size;
    ASSERT_OK(Read({a_, b_}));
  }
}

// The same as a GGUF file.
class GgufFilesTest : public testing::Test {
 protected:
  using Tensors = std::vector<GgufTensorPlan>;
  using SetKeys = std::function<void(GgufMetadata&)>;

  static void SetUsual(GgufMetadata& metadata) {
    metadata.SetString("general.architecture", "qwen2");
    metadata.SetString("general.type", "adapter");
    metadata.SetString("adapter.type", "lora");
    metadata.SetF32("adapter.lora.alpha", 4);
  }
  Result<Adapter> Read(const Tensors& tensors, const SetKeys& set_keys = SetUsual, float value = 0.5f) {
    GgufMetadata metadata;
    set_keys(metadata);
    QWEN25_TRY(GgufWriter writer, GgufWriter::Open(path_, metadata, tensors));
    for (const GgufTensorPlan& tensor : tensors) {
      const std::vector<float> numbers(tensor.NumBytes() / sizeof(float), value);
      QWEN25_RETURN_IF_ERROR(writer.Write(std::as_bytes(std::span(numbers))));
    }
    QWEN25_RETURN_IF_ERROR(writer.Commit());
    return ReadAdapter({path_}, config_);
  }

  TemporaryDirectory directory_;
  const std::filesystem::path path_ = directory_ / "adapter.gguf";
  const ModelConfig config_ = TinyConfig();
  const GgufTensorPlan a_ = {"blk.1.attn_k.weight.lora_a", GgmlType::kF32, {2, 16}},
                       b_ = {"blk.1.attn_k.weight.lora_b", GgmlType::kF32, {8, 2}};
};

TEST_F(GgufFilesTest, AlphaIsOverTheRankAndWithoutItTheScaleIsOne) {
  ASSERT_OK_AND_ASSIGN(const Adapter adapter, Read({a_, b_}));
  ASSERT_EQ(adapter.matrices.size(), 1u);
  EXPECT_EQ(adapter.matrices[0].up, std::vector<float>(16, 1.0f));
  ASSERT_OK_AND_ASSIGN(const Adapter without, Read({a_, b_}, [](GgufMetadata& metadata) {
                         metadata.SetString("general.architecture", "qwen2");
                         metadata.SetString("general.type", "adapter");
                         metadata.SetString("adapter.type", "lora");
                       }));
  EXPECT_EQ(without.matrices[0].up, std::vector<float>(16, 0.5f));
}

TEST_F(GgufFilesTest, MalformedFilesAreExplained) {
  const auto named = [](std::string name, std::vector<uint64_t> shape) {
    return GgufTensorPlan{std::move(name), GgmlType::kF32, std::move(shape)};
  };
  const struct {
    Tensors tensors;
    std::string message;
  } cases[] = {
      {{}, "holds no tensors of an adapter"},
      {{a_}, "but not the other factor"},
      {{a_, named(b_.name, {8, 3})}, "has shape [8, 3], expected [8, 2]"},
      {{named(a_.name, {2, 17}), b_}, "expected the rank and 16"},
      {{named(a_.name, {32}), b_}, "expected the rank and 16"},
      {{named("blk.2.attn_k.weight.lora_a", {2, 16})}, "changes blk.2.attn_k.weight, which"},
      {{named("blk.1.attn_norm.weight.lora_a", {2, 16})}, "changes blk.1.attn_norm.weight, which"},
      {{named("blk.1.attn_k.weight", {8, 16})}, "is not a factor of an adapter"},
  };
  for (const auto& bad : cases) EXPECT_ERROR_CONTAINS(Read(bad.tensors), bad.message);
  EXPECT_ERROR_CONTAINS(Read({a_, b_}, SetUsual, std::nanf("")), "a number that is not finite");
}

TEST_F(GgufFilesTest, OtherKindsOfFilesAreExplained) {
  const auto with = [](const char* key, const char* value) {
    return [=](GgufMetadata& metadata) {
      for (const auto& [name, usual] :
           {std::pair{"general.architecture", "qwen2"}, std::pair{"general.type", "adapter"},
            std::pair{"adapter.type", "lora"}}) {
        const bool is_other = std::string_view(name) == key;
        if (!is_other || value != nullptr) metadata.SetString(name, is_other ? value : usual);
      }
    };
  };
  EXPECT_ERROR_CONTAINS(Read({a_, b_}, with("general.type", "model")), "general.type is \"model\"");
  EXPECT_ERROR_CONTAINS(Read({a_, b_}, with("general.type", nullptr)), "general.type is not stated");
  EXPECT_ERROR_CONTAINS(Read({a_, b_}, with("adapter.type", "control_vector")), "adapter.type is");
  EXPECT_ERROR_CONTAINS(Read({a_, b_}, with("general.architecture", "qwen3")), "architecture \"qwen3\"");
  EXPECT_ERROR_CONTAINS(Read({a_, b_},
                             [](GgufMetadata& metadata) {
                               SetUsual(metadata);
                               metadata.SetI32s("adapter.alora.invocation_tokens", std::vector<int32_t>{1});
                             }),
                        "activated adapter");
  EXPECT_ERROR_CONTAINS(Read({a_, b_},
                             [&](GgufMetadata& metadata) {
                               with("", nullptr)(metadata);
                               metadata.SetString("adapter.lora.alpha", "4");
                             }),
                        "adapter.lora.alpha is a string");
  EXPECT_ERROR_CONTAINS(ReadAdapter({kFixtures / "model_qwen3" / "model.gguf"}, config_), "general.type");
}

// Whatever a bit of a header becomes, reading gives an error that names the file, or an adapter that fits.
TEST(ReadAdapterTest, DamagedFilesComeBack) {
  const ModelConfig config = ModelConfig::Load(kFixtures / "model_llama" / "config.json").value();
  for (const char* name : {"adapter.gguf", "adapter_model.safetensors", "adapter_config.json"}) {
    TemporaryDirectory directory;
    for (const auto& entry : std::filesystem::directory_iterator(kFixtures / "adapter_llama")) {
      std::filesystem::copy(entry, directory.path());
    }
    const bool is_gguf = std::string_view(name) == "adapter.gguf";
    const AdapterSource source = {is_gguf ? std::filesystem::path(directory / name) : directory.path()};
    const std::string good = ReadFile(directory / name).value();
    Rng rng(1);
    size_t num_refused = 0;
    for (int i = 0; i < 1500; ++i) {
      std::string bad = good;
      const size_t at = rng.Below(std::min<size_t>(good.size(), 2000));
      bad[at] = static_cast<char>(rng.Below(2) == 0 ? bad[at] ^ (1 << rng.Below(8)) : rng.Below(256));
      if (rng.Below(8) == 0) bad.resize(rng.Below(good.size()));
      std::ofstream(directory / name, std::ios::binary) << bad;
      const Result<Adapter> adapter = ReadAdapter(source, config);
      if (adapter.ok()) {
        EXPECT_OK(CheckAdapterFits(*adapter, config));
      } else {
        ++num_refused;
        EXPECT_ERROR_CONTAINS(adapter, directory.path().string());
      }
    }
    EXPECT_GT(num_refused, 300u) << name;
  }
}

}  // namespace
}  // namespace qwen25
