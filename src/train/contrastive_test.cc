// Training of vectors: pairs, their loss and their runs.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "ops/contrastive_loss.h"
#include "ops/mean_pool.h"
#include "store/safetensors.h"
#include "train/pair_source.h"
#include "train/trainer_test_util.h"

namespace qwen25 {
namespace {

template <typename T>
std::vector<T> Values(const SafetensorsReader& file, const std::string& name) {
  const TensorInfo* tensor = file.Find(name);
  EXPECT_NE(tensor, nullptr) << name;
  std::vector<T> values(tensor->bytes.size() / sizeof(T));
  std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  return values;
}

// tests/reference/make_contrastive_fixture.py
TEST(Contrastive, LossAndGradientFollowPyTorch) {
  ASSERT_OK_AND_ASSIGN(
      const SafetensorsReader expected,
      SafetensorsReader::Open(SourcePath("tests/reference/fixtures/contrastive.safetensors")));
  const auto hidden = Values<float>(expected, "hidden"), wanted = Values<float>(expected, "hidden.grad");
  const auto starts = Values<int32_t>(expected, "sequence_starts");
  const float temperature = Values<float>(expected, "temperature")[0];
  const auto rows = static_cast<size_t>(starts.back()), pairs = starts.size() / 2;
  ThreadPool threads(2);
  TensorPool tensors;
  Scratch scratch(2);
  Tape tape;
  Execution execution{threads, tensors, scratch, &tape};
  Tensor x = tensors.New(rows, hidden.size() / rows);
  std::ranges::copy(hidden, x.data());
  const LossSum loss = ContrastiveLoss(execution, MeanPool(execution, x, starts), temperature,
                                       1.0f / static_cast<float>(pairs));
  tape.BackwardTo(0, execution);
  EXPECT_NEAR(loss.sum / static_cast<double>(pairs), Values<float>(expected, "loss")[0], 1e-5);
  for (size_t i = 0; i < wanted.size(); ++i) ASSERT_NEAR(x.grad()[i], wanted[i], 1e-6) << i;
}

// A topic for each pair: its texts draw their tokens from the same few.
std::vector<TokenPair> TopicPairs(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<TokenPair> pairs(count);
  for (TokenPair& pair : pairs) {
    const uint64_t topic = rng.Below(12) * 5;
    for (std::vector<int32_t>* text : {&pair.query, &pair.passage}) {
      const size_t length = 1 + rng.Below(text == &pair.query ? 6 : 20);
      for (size_t i = 0; i < length; ++i) text->push_back(static_cast<int32_t>(topic + rng.Below(5)));
    }
  }
  return pairs;
}

TEST(PairSource, OnePassGivesEveryPairOnceInWholeBatches) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    const size_t count = *rc::gen::inRange<size_t>(2, 40), room = *rc::gen::inRange<size_t>(1, 200);
    const size_t max_tokens = *rc::gen::inRange<size_t>(1, 30);
    const std::vector<TokenPair> pairs = TopicPairs(count, seed);
    auto source = PairSource::Make(pairs, {.max_tokens = max_tokens, .endless = false});
    RC_ASSERT(source.ok());
    size_t seen = 0;
    for (PackedBatch batch;;) {
      RC_ASSERT((*source)->Next(room, batch).ok());
      if (batch.tokens.empty()) break;
      const TokenBatch view = batch.view();
      RC_ASSERT(view.num_sequences() % 2 == 0 && view.num_sequences() >= 4);
      RC_ASSERT(view.num_tokens() <= room || view.num_sequences() == 4);
      for (size_t s = 0; s < view.num_sequences(); ++s) {
        const TokenPair& pair = pairs[seen + s / 2];
        std::vector<int32_t> wanted = s % 2 == 0 ? pair.query : pair.passage;
        wanted.resize(std::min(wanted.size(), max_tokens));
        const auto begin = static_cast<size_t>(view.sequence_starts[s]),
                   end = static_cast<size_t>(view.sequence_starts[s + 1]);
        RC_ASSERT(std::ranges::equal(view.tokens.subspan(begin, end - begin), wanted));
        RC_ASSERT(view.positions[begin] == 0 &&
                  view.positions[end - 1] == static_cast<int32_t>(end - begin - 1));
      }
      seen += view.num_sequences() / 2;
    }
    RC_ASSERT(seen == count || seen + 1 == count);  // a last one alone has no other to be told from
  }));
}

TEST(PairSource, OneInTwentyIsHeldOut) {
  std::vector<TokenPair> pairs;
  for (int32_t i = 0; i < 59; ++i) pairs.push_back({{i}, {i}});
  const std::vector<TokenPair> held_out = HoldOutPairs(pairs);
  EXPECT_EQ(pairs.size(), 57u);
  EXPECT_EQ(pairs[19].query, std::vector<int32_t>{20});
  ASSERT_EQ(held_out.size(), 2u);
  EXPECT_EQ(held_out[1].passage, std::vector<int32_t>{39});
  pairs.resize(20 * 2000);
  EXPECT_EQ(HoldOutPairs(pairs).size(), 1024u);
}

TEST(PairSource, PassesDifferAndAPlaceIsFoundAgain) {
  const std::vector<TokenPair> pairs = TopicPairs(30, 1);
  ASSERT_OK_AND_ASSIGN(const auto source, PairSource::Make(pairs, {.seed = 3}));
  ASSERT_OK_AND_ASSIGN(const auto other, PairSource::Make(pairs, {.seed = 3}));
  PackedBatch first, second, again;
  ASSERT_OK(source->Next(100, first));
  ASSERT_OK(other->Restore(source->State()));
  ASSERT_OK(source->Next(100, second));
  ASSERT_OK(other->Next(100, again));
  EXPECT_EQ(second.tokens, again.tokens);
  EXPECT_NE(first.tokens, second.tokens);
  ASSERT_OK_AND_ASSIGN(const auto foreign, PairSource::Make(TopicPairs(30, 2), {.seed = 3}));
  EXPECT_ERROR_CONTAINS(foreign->Restore(source->State()), "other pairs");
  EXPECT_ERROR_CONTAINS(PairSource::Make({pairs[0]}, {}), "expected at least 2");
  EXPECT_ERROR_CONTAINS(PairSource::Make({pairs[0], {{}, {1}}}, {}), "pair 2 of 2 has an empty text");
}

TrainOptions ContrastiveOptions(const TemporaryDirectory& directory) {
  TrainOptions options = TinyOptions(directory);
  options.objective = Objective::kContrastive;
  options.temperature = 0.1f;
  options.tokens_per_step = options.micro_batch_tokens = 192;
  options.max_steps = 60;
  options.schedule.kind = ScheduleKind::kConstant;
  return options;
}

TrainData PairData() {
  TrainData data;
  data.train = PairSource::Make(TopicPairs(500, 1), {.max_tokens = 32}).value();
  data.validation = PairSource::Make(TopicPairs(60, 2), {.max_tokens = 32, .endless = false}).value();
  return data;
}

TEST(Contrastive, TrainingBringsPairsTogether) {
  TemporaryDirectory directory;
  TrainOptions options = ContrastiveOptions(directory);
  options.sequence_length = 48;
  ThreadPool threads(2);
  ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, PairData(), threads));
  ASSERT_OK_AND_ASSIGN(const ValidationMetrics before, trainer->Validate());
  ASSERT_OK_AND_ASSIGN(const TrainSummary summary, trainer->Run());
  ASSERT_TRUE(summary.last_validation.has_value());
  // Sixty pairs share twelve topics, so that about ln 5 of the ln 60 cannot be learned.
  EXPECT_LT(summary.last_validation->loss, 0.75 * before.loss);
  EXPECT_EQ(before.validation_tokens, 60u) << "counts pairs";
}

TEST(Contrastive, AResumedRunGoesOnExactlyWithAnyNumberOfThreads) {
  const auto losses = [](const TrainOptions& options, size_t num_threads, size_t steps) {
    ThreadPool threads(num_threads);
    std::vector<double> values;
    auto trainer = Trainer::Create(options, PairData(), threads);
    EXPECT_TRUE(trainer.ok()) << MessageOf(trainer);
    for (size_t i = 0; i < steps; ++i) values.push_back((*trainer)->Step()->loss);
    EXPECT_OK((*trainer)->SaveCheckpoint());
    return values;
  };
  TemporaryDirectory whole, parts;
  TrainOptions options = ContrastiveOptions(whole);
  options.sequence_length = 48;
  options.causal = true;
  const std::vector<double> wanted = losses(options, 1, 8);
  TrainOptions interrupted = ContrastiveOptions(parts);
  interrupted.sequence_length = 48;
  interrupted.causal = true;
  std::vector<double> found = losses(interrupted, 3, 5);
  interrupted.resume = true;
  const std::vector<double> rest = losses(interrupted, 2, 3);
  found.insert(found.end(), rest.begin(), rest.end());
  EXPECT_EQ(found, wanted);
}

TEST(Contrastive, OptionsThatDoNotFitAreRefused) {
  TemporaryDirectory directory;
  TrainOptions options = ContrastiveOptions(directory);
  options.sequence_length = 96;
  EXPECT_ERROR_CONTAINS(options.Validate(), "at least 4 times batch.sequence_length");
  options = ContrastiveOptions(directory);
  options.micro_batch_tokens = 96;
  EXPECT_ERROR_CONTAINS(options.Validate(), "expected equal values");
  options = ContrastiveOptions(directory);
  options.temperature = 0;
  EXPECT_ERROR_CONTAINS(options.Validate(), "objective.temperature is 0");
  EXPECT_ERROR_CONTAINS(SetOption("objective.kind", "masked", options), "is not an objective");
}

}  // namespace
}  // namespace qwen25
