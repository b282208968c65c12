// Training here follows training in PyTorch: the fixtures of tests/reference/make_training_fixture.py.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "store/safetensors.h"
#include "train/trainer_test_util.h"

namespace qwen25 {
namespace {

// The rows of `batches`, each cut into the same sequences.
class FixtureSource : public BatchSource {
 public:
  FixtureSource(std::vector<int32_t> batches, std::vector<int32_t> starts)
      : batches_(std::move(batches)), starts_(std::move(starts)) {}
  Status Next(size_t num_tokens, PackedBatch& batch) override {
    batch = {};
    batch.sequence_starts = starts_;
    for (size_t sequence = 0; sequence + 1 < starts_.size(); ++sequence) {
      for (int32_t i = starts_[sequence]; i < starts_[sequence + 1]; ++i) {
        batch.tokens.push_back(batches_[next_ + i]);
        batch.positions.push_back(i - starts_[sequence]);
        batch.targets.push_back(i + 1 < starts_[sequence + 1] ? batches_[next_ + i + 1] : -1);
      }
    }
    next_ += num_tokens;
    return {};
  }
  void Rewind() override { next_ = 0; }
  Json State() const override { return {}; }
  Status Restore(const Json&) override { return {}; }

 private:
  std::vector<int32_t> batches_, starts_;
  size_t next_ = 0;
};

template <typename T>
std::vector<T> Values(const SafetensorsReader& file, const std::string& name) {
  const TensorInfo* tensor = file.Find(name);
  EXPECT_NE(tensor, nullptr) << name;
  std::vector<T> values(tensor->bytes.size() / sizeof(T));
  std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  return values;
}

// The options that the recipe of a fixture states, for batches of num_tokens tokens.
TrainOptions OptionsOf(const Json& recipe, const std::string& folder, uint32_t num_tokens,
                       const TemporaryDirectory& directory) {
  TrainOptions options = TinyOptions(directory);
  options.config.clear();
  options.initial = folder;
  // The whole batch is one micro-batch; the source cuts it into its own sequences, which the 128 positions
  // hold.
  options.tokens_per_step = options.micro_batch_tokens = num_tokens;
  options.sequence_length = num_tokens / 3;
  options.max_steps = recipe["steps"];
  options.optimizer.kind = ParseOptimizerKind(recipe["optimizer"].get<std::string>()).value();
  options.optimizer.learning_rate = recipe["learning_rate"];
  options.optimizer.muon_learning_rate = recipe.value("muon_learning_rate", 0.0);
  options.optimizer.beta1 = recipe["beta1"];
  options.optimizer.beta2 = recipe["beta2"];
  options.optimizer.epsilon = recipe["epsilon"];
  options.optimizer.weight_decay = recipe["weight_decay"];
  options.optimizer.clip_norm = recipe["clip_norm"];
  options.schedule = {.kind = ScheduleKind::kCosine,
                      .warmup_steps = recipe["warmup_steps"],
                      .min_ratio = recipe["min_ratio"]};
  return options;
}

class TrainingFixtureTest : public ::testing::TestWithParam<const char*> {};

// Long: one run, compared with its record in every respect.
TEST_P(TrainingFixtureTest, AHundredStepsFollowPyTorch) {
  const std::string folder = SourcePath("tests/reference/fixtures/training_") + GetParam();
  ASSERT_OK_AND_ASSIGN(const SafetensorsReader expected,
                       SafetensorsReader::Open(folder + "/expected.safetensors"));
  ASSERT_OK_AND_ASSIGN(const Json recipe, ReadJsonFile(folder + "/training.json"));
  const std::vector<int32_t> starts = Values<int32_t>(expected, "sequence_starts");
  const std::vector<float> losses = Values<float>(expected, "losses"),
                           norms = Values<float>(expected, "gradient_norms"),
                           factors = Values<float>(expected, "learning_rate_factors");

  TemporaryDirectory directory;
  const TrainOptions options = OptionsOf(recipe, folder, static_cast<uint32_t>(starts.back()), directory);
  TrainData data;
  data.train = std::make_unique<FixtureSource>(Values<int32_t>(expected, "batches"), starts);
  ThreadPool threads(2);
  ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, std::move(data), threads));

  double worst_loss = 0, worst_norm = 0;
  for (size_t step = 0; step < losses.size(); ++step) {
    ASSERT_OK_AND_ASSIGN(const StepMetrics metrics, trainer->Step());
    EXPECT_NEAR(metrics.learning_rate, options.optimizer.learning_rate * factors[step], 1e-9);
    worst_loss = std::max(worst_loss, std::abs(metrics.loss - losses[step]));
    worst_norm = std::max(worst_norm, std::abs(metrics.gradient_norm - norms[step]) / norms[step]);
  }
  EXPECT_LT(worst_loss, 5e-5);
  EXPECT_LT(worst_norm, 1e-3);
  // How far the final weights are from PyTorch's, as a share of how far training moved them.
  ASSERT_OK_AND_ASSIGN(const Model start, Model::Load(folder));
  double worst_weights = 0;
  for (size_t i = 0; i < start.parameters().size(); ++i) {
    const NamedParameter& before = start.parameters()[i];
    const NamedParameter& after = trainer->model().parameters()[i];
    const std::vector<float> wanted = Values<float>(expected, "final." + after.name);
    double off = 0, moved = 0;
    for (size_t j = 0; j < wanted.size(); ++j) {
      off += std::pow(after.parameter.data[j] - double{wanted[j]}, 2);
      moved += std::pow(before.parameter.data[j] - double{wanted[j]}, 2);
    }
    EXPECT_LT(std::sqrt(off / moved), 5e-3) << after.name;
    worst_weights = std::max(worst_weights, std::sqrt(off / moved));
  }
  std::printf(
      "%s: losses differ by at most %.2g, gradient norms by %.2g, final weights by %.2g of their way\n",
      GetParam(), worst_loss, worst_norm, worst_weights);
}

INSTANTIATE_TEST_SUITE_P(Optimizers, TrainingFixtureTest, ::testing::Values("adamw", "muon"));

}  // namespace
}  // namespace qwen25
