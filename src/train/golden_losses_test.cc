// The losses of short runs, pinned to the last bit, for changes of the code that are meant to change no
// number.
//
// They are those of the AVX2 kernels, which most machines can run: vectors of another width add up in another
// order. A change that is meant to change numbers takes the new ones from the test's message, and shows a
// loss curve beside the old one.
#include <string>
#include <vector>

#include "kernels/isa.h"
#include "train/pair_source.h"
#include "train/trainer_test_util.h"

namespace qwen25 {
namespace {

struct Golden {
  const char* name;
  void (*change)(TrainOptions& options);
  bool pairs;
  // Losses of steps 1, 6 and 12, and of a validation after them.
  std::vector<double> losses;
};

TrainData Pairs() {
  Rng rng(9);
  std::vector<TokenPair> pairs(80);
  for (TokenPair& pair : pairs) {
    const uint64_t topic = rng.Below(12) * 5;
    for (std::vector<int32_t>* text : {&pair.query, &pair.passage}) {
      for (size_t i = 0; i < 8; ++i) text->push_back(static_cast<int32_t>(topic + rng.Below(5)));
    }
  }
  TrainData data;
  data.train = PairSource::Make(pairs, {.max_tokens = 32}).value();
  data.validation = PairSource::Make(pairs, {.max_tokens = 32, .endless = false}).value();
  return data;
}

const std::vector<Golden>& AllGolden() {
  static const std::vector<Golden> all = {
      {"adamw",
       [](TrainOptions&) {},
       false,
       {0x1.08fba7c70683cp+2, 0x1.a35c087fcc66bp+1, 0x1.67e4da3a481cp+1, 0x1.65a2d671d3861p+1}},
      {"muon",
       [](TrainOptions& o) { o.optimizer.kind = OptimizerKind::kMuon; },
       false,
       {0x1.08fba7c70683cp+2, 0x1.a4598c57d0087p+1, 0x1.79c62954aff84p+1, 0x1.6f41a7a5318e7p+1}},
      {"recompute",
       [](TrainOptions& o) { o.recompute = true; },
       false,
       {0x1.08fba7c70683cp+2, 0x1.a35c087fcc66bp+1, 0x1.67e4da3a481cp+1, 0x1.65a2d671d3861p+1}},
      {"routed",
       [](TrainOptions& o) {
         o.routing = "top_k:1,local=1,dense_below=16";
         o.routing_from_step = 4;
         o.sequence_length = o.tokens_per_step = o.micro_batch_tokens = 128;
       },
       false,
       {0x1.07b289e121158p+2, 0x1.a4df34c5adbeep+1, 0x1.5ff1a76eae902p+1, 0x1.65db8068fd2f6p+1}},
      {"contrastive",
       [](TrainOptions& o) {
         o.objective = Objective::kContrastive;
         o.micro_batch_tokens = o.tokens_per_step;
       },
       true,
       {0x1.5aac6530388dfp+0, 0x1.c2c9f93ae474cp-1, 0x1.c2e3663ffbd3p-2, 0x1.3151f44246dd4p+1}},
  };
  return all;
}

class GoldenLossesTest : public ::testing::TestWithParam<Golden> {};

TEST_P(GoldenLossesTest, AreTheSameToTheLastBit) {
  const std::string isa = CurrentIsa();
  if (!ForceIsa("AVX2").ok()) GTEST_SKIP() << "SKIPPED: this machine has no AVX2";
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  GetParam().change(options);
  ThreadPool threads(2);
  ASSERT_OK_AND_ASSIGN(const auto trainer,
                       Trainer::Create(options, GetParam().pairs ? Pairs() : TinyData(), threads));
  std::vector<double> losses;
  for (int step = 1; step <= 12; ++step) {
    ASSERT_OK_AND_ASSIGN(const StepMetrics metrics, trainer->Step());
    if (step == 1 || step == 6 || step == 12) losses.push_back(metrics.loss);
  }
  ASSERT_OK_AND_ASSIGN(const ValidationMetrics validation, trainer->Validate());
  losses.push_back(validation.loss);
  std::string found;
  for (const double loss : losses) found += fmt::format("{:a}, ", loss);
  EXPECT_EQ(losses, GetParam().losses) << found;
  ASSERT_OK(ForceIsa(isa));
}

INSTANTIATE_TEST_SUITE_P(All, GoldenLossesTest, ::testing::ValuesIn(AllGolden()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace qwen25
