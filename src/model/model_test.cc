// The decoder and its files, held to transformers: fixtures of tests/reference/make_model_fixtures.py.
#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/test_util.h"
#include "model/decoder.h"
#include "model/tiny_config_test_util.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

const std::filesystem::path kFixtures = SourcePath("tests/reference/fixtures");

struct Expected {
  explicit Expected(SafetensorsReader reader) : file(std::move(reader)) {}

  std::vector<int32_t> tokens, sequence_starts, prefix_lengths, targets, logit_rows, positions;
  std::vector<float> logits;
  float loss = 0;
  SafetensorsReader file;

  TokenBatch batch() const { return {tokens, positions, sequence_starts}; }
};

std::vector<int32_t> ReadInts(const SafetensorsReader& file, const char* name) {
  const TensorInfo* tensor = file.Find(name);
  if (tensor == nullptr) return {};
  QWEN25_CHECK(tensor->dtype == DType::kI32);
  std::vector<int32_t> values(tensor->NumElements());
  std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  return values;
}

std::vector<float> ReadFloats(const SafetensorsReader& file, const std::string& name) {
  const TensorInfo* tensor = file.Find(name);
  QWEN25_CHECK(tensor != nullptr);
  std::vector<float> values(tensor->NumElements());
  QWEN25_CHECK(CopyToFloat(*tensor, 0, values, true).ok());
  return values;
}

Expected ReadExpected(const std::filesystem::path& path) {
  Expected expected(SafetensorsReader::Open(path).value());
  expected.tokens = ReadInts(expected.file, "tokens");
  expected.sequence_starts = ReadInts(expected.file, "sequence_starts");
  expected.prefix_lengths = ReadInts(expected.file, "prefix_lengths");
  expected.targets = ReadInts(expected.file, "targets");
  expected.logit_rows = ReadInts(expected.file, "logit_rows");
  expected.logits = ReadFloats(expected.file, "logits");
  expected.loss = ReadFloats(expected.file, "loss")[0];
  for (size_t s = 0; s + 1 < expected.sequence_starts.size(); ++s) {
    for (int32_t i = 0; i < expected.sequence_starts[s + 1] - expected.sequence_starts[s]; ++i) {
      expected.positions.push_back(i);
    }
  }
  return expected;
}

struct Fixture {
  std::string name;   // of the folder
  std::string model;  // in it: "" or a file of the same weights
  AttentionMask mask;
  const char* file;
};

std::vector<Fixture> AllFixtures() {
  std::vector<Fixture> all;
  for (const auto& entry : std::filesystem::directory_iterator(kFixtures)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("model_")) continue;
    for (const auto& [mask, file] :
         {std::pair{AttentionMask::kCausal, "expected.safetensors"},
          std::pair{AttentionMask::kBidirectional, "expected_bidirectional.safetensors"},
          std::pair{AttentionMask::kPrefix, "expected_prefix.safetensors"}}) {
      if (std::filesystem::exists(entry.path() / file)) all.push_back({name, "", mask, file});
      if (std::filesystem::exists(entry.path() / file) &&
          std::filesystem::exists(entry.path() / "model.gguf")) {
        all.push_back({name, "model.gguf", mask, file});
      }
    }
  }
  std::ranges::sort(all, {}, [](const Fixture& f) { return f.name + f.file + f.model; });
  return all;
}

class ModelFixtureTest : public testing::TestWithParam<Fixture> {
 protected:
  ModelFixtureTest()
      : folder_(kFixtures / GetParam().name),
        expected_(ReadExpected(folder_ / GetParam().file)),
        scratch_(threads_.num_threads()) {
    options_.mask = GetParam().mask;
    options_.prefix_lengths = expected_.prefix_lengths;
  }

  std::filesystem::path path() const {
    return GetParam().model.empty() ? folder_ : folder_ / GetParam().model;
  }

  const std::filesystem::path folder_;
  const Expected expected_;
  ThreadPool threads_{2};
  TensorPool tensors_;
  Scratch scratch_;
  Tape tape_;
  Execution execution_{threads_, tensors_, scratch_, nullptr};
  DecoderOptions options_;
};

TEST_P(ModelFixtureTest, LogitsEqualTransformers) {
  ASSERT_OK_AND_ASSIGN(const Model model, Model::Load(path()));
  const Tensor hidden = DecoderForward(execution_, model, expected_.batch(), options_);
  const Tensor logits = Logits(execution_, model, hidden, expected_.logit_rows);
  float largest = 0, worst = 0;
  for (size_t i = 0; i < expected_.logits.size(); ++i) {
    largest = std::max(largest, std::fabs(expected_.logits[i]));
    worst = std::max(worst, std::fabs(expected_.logits[i] - logits.data()[i]));
  }
  ASSERT_GT(largest, 0.1f);
  EXPECT_LT(worst, 1e-4f * largest);
  RecordProperty("worst_over_largest", fmt::format("{:.2e}", worst / largest));
}

TEST_P(ModelFixtureTest, LossAndGradientsEqualPyTorch) {
  for (bool recompute : {false, true}) {
    ASSERT_OK_AND_ASSIGN(const Model model, Model::Load(path()));
    const Gradients gradients(model.parameter_set());
    execution_.gradients = gradients.ranges();
    execution_.tape = &tape_;
    options_.recompute_layers = recompute;
    size_t num_targets = 0;
    for (int32_t target : expected_.targets) num_targets += target >= 0;
    const LossSum loss = DecoderLoss(execution_, model, expected_.batch(), expected_.targets,
                                     1.0f / static_cast<float>(num_targets), options_);
    tape_.BackwardTo(0, execution_);
    EXPECT_EQ(loss.num_tokens, num_targets);
    EXPECT_NEAR(loss.sum / static_cast<double>(num_targets), expected_.loss, 1e-5 * expected_.loss);
    for (const NamedParameter& named : model.parameters()) {
      const std::vector<float> wanted = ReadFloats(expected_.file, "grad." + named.name);
      ASSERT_EQ(wanted.size(), named.parameter.rows * named.parameter.cols);
      const float* found = gradients.Of(named.parameter);
      double error = 0, norm = 0;
      for (size_t i = 0; i < wanted.size(); ++i) {
        error += std::pow(double{wanted[i]} - found[i], 2);
        norm += std::pow(double{wanted[i]}, 2);
      }
      // A key bias shifts all scores of a query alike, so its true gradient is zero without rotary positions
      // and tiny with them: rounding is then measured against the query bias.
      const double floor = named.name.ends_with("k_proj.bias") ? 1e-8 : 0;
      EXPECT_LT(std::sqrt(error), 1e-3 * std::sqrt(norm) + floor) << named.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ModelFixtureTest, testing::ValuesIn(AllFixtures()), [](const auto& info) {
  return info.param.name.substr(6) + (info.param.model.empty() ? "" : "_gguf") +
         (info.param.mask == AttentionMask::kCausal          ? "_causal"
          : info.param.mask == AttentionMask::kBidirectional ? "_bidirectional"
                                                             : "_prefix");
});

TEST(ModelFixturesTest, AreThere) {
  EXPECT_GE(AllFixtures().size(), 6u);
}

TEST(ModelFilesTest, SurvivesSavingAndLoading) {
  TemporaryDirectory directory;
  for (bool tied : {true, false}) {
    ModelConfig config = TinyConfig();
    config.tie_word_embeddings = tied;
    Model model(config);
    model.Initialize(5);
    ASSERT_OK(model.Save(directory.path()));
    ASSERT_OK_AND_ASSIGN(const Model again, Model::Load(directory.path()));
    EXPECT_EQ(again.config(), config);
    EXPECT_TRUE(std::ranges::equal(again.weights(), model.weights()));
    ASSERT_OK(model.Save(directory.path(), DType::kBF16));
    ASSERT_OK_AND_ASSIGN(const Model rounded, Model::Load(directory.path()));
    for (size_t i = 0; i < model.weights().size(); ++i) {
      ASSERT_EQ(rounded.weights()[i], BFloat16ToFloat(FloatToBFloat16(model.weights()[i])));
    }
  }
}

TEST(ModelFilesTest, InitialisationFollowsTheRule) {
  ModelConfig config = *FindPreset("nano");
  config.initializer_range = 0.03;
  Model model(config);
  model.Initialize(1);
  for (const NamedParameter& named : model.parameters()) {
    const size_t count = named.parameter.rows * named.parameter.cols;
    double sum_sq = 0;
    for (size_t i = 0; i < count; ++i) sum_sq += std::pow(double{named.parameter.data[i]}, 2);
    const double deviation = std::sqrt(sum_sq / static_cast<double>(count));
    if (named.name.ends_with("norm.weight")) {
      EXPECT_EQ(deviation, 1.0) << named.name;
    } else if (named.kind == ParameterKind::kVector) {
      EXPECT_EQ(deviation, 0.0) << named.name;
    } else {
      const bool residual =
          named.name.find("o_proj") != std::string::npos || named.name.find("down_proj") != std::string::npos;
      EXPECT_NEAR(deviation, residual ? 0.03 / std::sqrt(12.0) : 0.03, 0.0005) << named.name;
    }
  }
}

// Each way in which a folder can be wrong has its own message.
TEST(ModelFilesTest, SaysWhatIsWrongWithAFolder) {
  TemporaryDirectory directory;
  Model model(TinyConfig());
  model.Initialize(5);
  EXPECT_ERROR_CONTAINS(Model::Load(directory.path()), "config.json: cannot open: No such file");
  ASSERT_OK(model.Save(directory.path()));
  const std::string weights = directory / "model.safetensors", config = directory / "config.json";
  const std::string good = *ReadFile(weights), good_config = *ReadFile(config);

  ASSERT_OK(WriteFileAtomically(weights, good.substr(0, good.size() / 2)));
  EXPECT_ERROR_CONTAINS(Model::Load(directory.path()), "probably cut while it was copied");
  std::filesystem::remove(weights);
  EXPECT_ERROR_CONTAINS(Model::Load(directory.path()), "there is neither model.safetensors nor");

  const auto rewrite = [&](auto change) {
    std::vector<TensorToWrite> tensors;
    for (const NamedParameter& named : model.parameters()) {
      const std::span<const float> values(named.parameter.data, named.parameter.rows * named.parameter.cols);
      std::vector<uint64_t> shape = {named.parameter.rows, named.parameter.cols};
      if (named.is_vector) shape = {named.parameter.cols};
      tensors.push_back(TensorToWrite::FromFloat(named.name, shape, values));
    }
    change(tensors);
    QWEN25_CHECK(WriteSafetensors(weights, tensors).ok());
    return Model::Load(directory.path());
  };
  EXPECT_ERROR_CONTAINS(rewrite([](auto& tensors) { std::swap(tensors[0].shape[0], tensors[0].shape[1]); }),
                        "model.embed_tokens.weight has shape [16, 40], expected [40, 16] by config.json");
  EXPECT_ERROR_CONTAINS(rewrite([](auto& tensors) {
                          std::swap(tensors.back().shape, tensors.back().shape);
                          tensors.pop_back();
                        }),
                        "the weights hold no tensor model.norm.weight");
  EXPECT_ERROR_CONTAINS(rewrite([](auto& tensors) { tensors[1].name = "model.layers.1.extra"; }),
                        "hold no tensor");
  EXPECT_ERROR_CONTAINS(rewrite([](auto& tensors) {
                          tensors.push_back(tensors[1]);
                          tensors.back().name = "model.layers.1.extra";
                        }),
                        "hold a tensor model.layers.1.extra that a qwen2 model of 2 layers does not have");
  EXPECT_ERROR_CONTAINS(rewrite([&](auto&) { model.layers[1].down_proj.data[7] = std::nanf(""); }),
                        "tensor model.layers.1.mlp.down_proj.weight holds nan at element 7");

  std::string unknown = good_config;
  unknown.replace(unknown.find("\"qwen2\""), 7, "\"gpt9\"");
  ASSERT_OK(WriteFileAtomically(config, unknown));
  EXPECT_ERROR_CONTAINS(Model::Load(directory.path()), "architecture \"gpt9\" is unknown");
}

}  // namespace
}  // namespace qwen25
