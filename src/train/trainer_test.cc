#include "train/trainer.h"

#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/allocation_counter.h"
#include "base/progress.h"
#include "train/trainer_test_util.h"

namespace qwen25 {
namespace {

// The loss of every step, by step, from metrics.jsonl.
std::map<uint64_t, double> Losses(const TrainOptions& options) {
  std::map<uint64_t, double> losses;
  const Result<MetricsHistory> history = ReadMetrics(options.output + "/metrics.jsonl");
  EXPECT_OK(history);
  for (const StepMetrics& step : history->steps) {
    EXPECT_FALSE(losses.contains(step.step)) << "step " << step.step << " twice";
    losses[step.step] = step.loss;
  }
  return losses;
}

// Runs until done, or until the stop flag is set after `stop_after` steps.
Result<TrainSummary> RunOnce(const TrainOptions& options, size_t num_threads, uint64_t stop_after = 0) {
  ThreadPool threads(num_threads);
  QWEN25_TRY(const auto trainer, Trainer::Create(options, TinyData(), threads));
  std::atomic<bool> stop = false;
  TrainCallbacks callbacks;
  callbacks.stop = &stop;
  callbacks.on_step = [&](const StepMetrics& metrics) { stop = metrics.step == stop_after; };
  return trainer->Run(callbacks);
}

TEST(TrainerTest, LossFallsAndTheRunLeavesWhatItShould) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  options.max_steps = 60;
  options.validate_every = 20;
  options.checkpoint_every = 20;
  ASSERT_OK_AND_ASSIGN(const TrainSummary summary, RunOnce(options, 2));
  EXPECT_FALSE(summary.stopped);
  EXPECT_EQ(summary.steps, 60u);
  EXPECT_EQ(summary.tokens, 60u * 128);
  const std::map<uint64_t, double> losses = Losses(options);
  ASSERT_EQ(losses.size(), 60u);
  EXPECT_NEAR(losses.at(1), std::log(kTinyVocabulary), 0.3);  // nothing is known at first
  EXPECT_LT(losses.at(60), 0.6 * losses.at(1));
  ASSERT_TRUE(summary.last_validation.has_value());
  EXPECT_LT(summary.last_validation->loss, 0.7 * losses.at(1));
  EXPECT_NEAR(summary.last_validation->bits_per_byte, summary.last_validation->loss / std::log(2.0) / 3,
              1e-12);
  EXPECT_EQ(summary.last_validation->validation_bytes, 3 * summary.last_validation->validation_tokens);
  ASSERT_OK_AND_ASSIGN(const MetricsHistory history, ReadMetrics(options.output + "/metrics.jsonl"));
  EXPECT_EQ(history.validations.size(), 3u);  // after 20 and 40 steps and at the end
  ASSERT_OK_AND_ASSIGN(const Model model, Model::Load(summary.model));
  EXPECT_EQ(model.config(), TinyModel());
  ASSERT_OK_AND_ASSIGN(const std::vector<uint64_t> steps, CheckpointStore(options.output).Steps());
  EXPECT_EQ(steps, (std::vector<uint64_t>{40, 60}));  // the two newest
}

TEST(TrainerTest, InitialWeightsAreTrainedOnWithTheRoutingOfTheOptions) {
  TemporaryDirectory directory;
  TrainOptions dense = TinyOptions(directory);
  dense.output = directory / "dense";
  dense.max_steps = 2;
  ASSERT_OK_AND_ASSIGN(const TrainSummary first, RunOnce(dense, 1));
  TrainOptions routed = dense;
  routed.output = directory / "routed";
  routed.initial = first.model;
  routed.config.clear();
  routed.routing = "top_k:3,local=1,dense_below=64";
  routed.eos_token_id = 5;
  ASSERT_OK_AND_ASSIGN(const TrainSummary second, RunOnce(routed, 1));
  ASSERT_OK_AND_ASSIGN(const Model model, Model::Load(second.model));
  EXPECT_EQ(model.config().routing.ToString(), RoutingPolicy::Parse(routed.routing)->ToString());
  EXPECT_EQ(model.config().eos_token_ids, std::vector<int32_t>{5});
}

TEST(TrainerTest, AResumedRunIsBitIdenticalForAnyInterruptionsAndThreads) {
  for (const auto kind : {OptimizerKind::kAdamW, OptimizerKind::kMuon}) {
    for (const bool recompute : {false, true}) {
      TemporaryDirectory directory;
      TrainOptions options = TinyOptions(directory);
      options.optimizer.kind = kind;
      options.recompute = recompute;
      TrainOptions whole = options, parts = options;
      whole.output = directory / "whole";
      parts.output = directory / "parts";
      ASSERT_OK(RunOnce(whole, 1));
      parts.resume = true;  // with nothing to resume it starts
      size_t num_threads = 1;
      for (const uint64_t stop_after : {1, 2, 7, 11}) {
        ASSERT_OK_AND_ASSIGN(const TrainSummary summary, RunOnce(parts, num_threads++, stop_after));
        EXPECT_TRUE(summary.stopped);
        EXPECT_EQ(summary.steps, stop_after);
        EXPECT_TRUE(summary.model.empty());
      }
      ASSERT_OK_AND_ASSIGN(const TrainSummary summary, RunOnce(parts, 3));
      EXPECT_FALSE(summary.stopped);
      EXPECT_EQ(Losses(whole), Losses(parts));
      EXPECT_EQ(*ReadFile(whole.output + "/model/model.safetensors"),
                *ReadFile(parts.output + "/model/model.safetensors"));
    }
  }
}

TEST(TrainerTest, ACrashBetweenCheckpointsLosesNothingButTime) {
  TemporaryDirectory directory;
  TrainOptions whole = TinyOptions(directory), crashed = whole;
  whole.output = directory / "whole";
  crashed.output = directory / "crashed";
  ASSERT_OK(RunOnce(whole, 2));
  {
    ThreadPool threads(2);
    ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(crashed, TinyData(), threads));
    for (int i = 0; i < 5; ++i) ASSERT_OK(trainer->Step());
    ASSERT_OK(trainer->SaveCheckpoint());
    for (int i = 0; i < 4; ++i) ASSERT_OK(trainer->Step());  // lost with the process
  }
  crashed.resume = true;
  ASSERT_OK(RunOnce(crashed, 2));
  const auto whole_losses = Losses(whole), losses = Losses(crashed);
  for (uint64_t step = 6; step <= 12; ++step) EXPECT_EQ(losses.at(step), whole_losses.at(step));
}

TEST(TrainerTest, ResumingAFinishedRunChangesNothing) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  ASSERT_OK(RunOnce(options, 2));
  const std::string metrics = *ReadFile(options.output + "/metrics.jsonl");
  options.resume = true;
  ASSERT_OK_AND_ASSIGN(const TrainSummary summary, RunOnce(options, 2));
  EXPECT_EQ(summary.steps, 12u);
  EXPECT_FALSE(summary.last_step.has_value());
  EXPECT_EQ(*ReadFile(options.output + "/metrics.jsonl"), metrics);
}

TEST(TrainerTest, MicroBatchesAddUpToTheSameStep) {
  // One batch of fixed content, whole and in parts: the losses agree as far as float32 sums do.
  TemporaryDirectory directory;
  std::vector<double> losses, norms;
  for (const uint64_t micro_batch_tokens : {128, 64, 32}) {
    TrainOptions options = TinyOptions(directory);
    options.output = directory / std::to_string(micro_batch_tokens);
    options.micro_batch_tokens = micro_batch_tokens;
    ThreadPool threads(2);
    // Documents never cross a multiple of 32 tokens, so every split holds the same documents.
    class Aligned : public RandomWalkSource {
     public:
      Aligned() : RandomWalkSource(kTinyVocabulary, 3) {}
      Status Next(size_t num_tokens, PackedBatch& batch) override {
        PackedBatch part, all;
        for (size_t done = 0; done < num_tokens; done += 32) {
          QWEN25_RETURN_IF_ERROR(RandomWalkSource::Next(32, part));
          part.sequence_starts.pop_back();
          for (const int32_t start : part.sequence_starts)
            all.sequence_starts.push_back(start + int32_t(done));
          all.tokens.insert(all.tokens.end(), part.tokens.begin(), part.tokens.end());
          all.positions.insert(all.positions.end(), part.positions.begin(), part.positions.end());
          all.targets.insert(all.targets.end(), part.targets.begin(), part.targets.end());
        }
        all.sequence_starts.push_back(int32_t(num_tokens));
        batch = all;
        return {};
      }
    };
    TrainData data;
    data.train = std::make_unique<Aligned>();
    ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, std::move(data), threads));
    ASSERT_OK_AND_ASSIGN(const StepMetrics metrics, trainer->Step());
    losses.push_back(metrics.loss);
    norms.push_back(metrics.gradient_norm);
  }
  for (size_t i = 1; i < losses.size(); ++i) {
    EXPECT_NEAR(losses[i], losses[0], 1e-6 * losses[0]);
    EXPECT_NEAR(norms[i], norms[0], 1e-5 * norms[0]);
  }
}

// Gives the same batch again and again.
class RepeatedSource : public RandomWalkSource {
 public:
  RepeatedSource() : RandomWalkSource(kTinyVocabulary, 3) {}
  Status Next(size_t num_tokens, PackedBatch& batch) override {
    Rewind();
    return RandomWalkSource::Next(num_tokens, batch);
  }
};

TEST(TrainerTest, ARepeatedBatchIsLearntByHeart) {
  for (const auto kind : {OptimizerKind::kAdamW, OptimizerKind::kMuon}) {
    TemporaryDirectory directory;
    TrainOptions options = TinyOptions(directory);
    options.optimizer.kind = kind;
    options.max_steps = 100;
    options.micro_batch_tokens = options.tokens_per_step;
    ThreadPool threads(2);
    TrainData data;
    data.train = std::make_unique<RepeatedSource>();
    ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, std::move(data), threads));
    ASSERT_OK_AND_ASSIGN(const TrainSummary summary, trainer->Run());
    EXPECT_LT(summary.last_step->loss, 0.2) << OptimizerKindName(kind);  // from log(61) = 4.1
  }
}

TEST(TrainerTest, ASteadyStepAllocatesNothing) {
  if (!QWEN25_COUNTS_ALLOCATIONS) GTEST_SKIP() << "SKIPPED: the sanitizer's allocator cannot be counted";
  for (const auto kind : {OptimizerKind::kAdamW, OptimizerKind::kMuon}) {
    for (const bool recompute : {false, true}) {
      TemporaryDirectory directory;
      TrainOptions options = TinyOptions(directory);
      options.optimizer.kind = kind;
      options.recompute = recompute;
      ThreadPool threads(2);
      // One batch only: ragged ones reach their largest size by and by.
      TrainData data;
      data.train = std::make_unique<RepeatedSource>();
      ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, std::move(data), threads));
      ASSERT_OK_AND_ASSIGN(MetricsWriter writer, MetricsWriter::Open(directory / "metrics", 0));
      ProgressOptions quiet;
      quiet.terminal = true;
      quiet.write = [](std::string_view) {};
      Progress progress("train", "steps", 100, 0, quiet);
      for (int i = 0; i < 3; ++i) {
        ASSERT_OK_AND_ASSIGN(const StepMetrics metrics, trainer->Step());
        ASSERT_OK(writer.Append(metrics));
      }
      const AllocationCounter counter;
      for (int i = 0; i < 3; ++i) {
        const Result<StepMetrics> metrics = trainer->Step();
        if (!metrics.ok() || !writer.Append(*metrics).ok()) FAIL();
        progress.Update(metrics->step, "loss");
      }
      EXPECT_EQ(counter.count(), 0u) << OptimizerKindName(kind) << (recompute ? ", recompute" : "");
    }
  }
}

TEST(TrainerTest, ADivergedRunStopsAndNamesItsStep) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  options.checkpoint_every = 1;
  options.schedule.warmup_steps = 0;
  ThreadPool threads(2);
  ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, TinyData(), threads));
  ASSERT_OK(trainer->Step());
  ASSERT_OK(trainer->SaveCheckpoint());
  trainer->model().norm.data[0] = std::numeric_limits<float>::quiet_NaN();
  const Result<TrainSummary> result = trainer->Run();
  EXPECT_ERROR_CONTAINS(result, "step 2: the loss is nan");
  EXPECT_ERROR_CONTAINS(result, "model.norm.weight holds nan at element 0");
  EXPECT_ERROR_CONTAINS(result, "the newest checkpoint is of step 1");
  EXPECT_EQ(CheckpointStore(options.output).Steps()->back(), 1u);
}

// The last step may overflow without any loss that shows it.
TEST(TrainerTest, AModelThatIsNotFiniteIsNotWritten) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  options.checkpoint_every = 2;
  options.max_steps = 3;
  ThreadPool threads(2);
  TrainData data = TinyData();
  data.validation.reset();
  ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, std::move(data), threads));
  TrainCallbacks callbacks;
  callbacks.on_step = [&](const StepMetrics& metrics) {
    if (metrics.step < 3) return;
    trainer->model().layers[1].down_proj.data[7] = -std::numeric_limits<float>::infinity();
  };
  const Result<TrainSummary> result = trainer->Run(callbacks);
  EXPECT_ERROR_CONTAINS(
      result, "step 3: training has diverged; model.layers.1.mlp.down_proj.weight holds -inf at element 7");
  EXPECT_ERROR_CONTAINS(result, "the newest checkpoint is of step 2");
  EXPECT_EQ(*CheckpointStore(options.output).Steps(), std::vector<uint64_t>{2});
  EXPECT_FALSE(std::filesystem::exists(options.output + "/model"));
}

TEST(TrainerTest, ALearningRateThatOverflowsIsAnError) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  options.schedule.warmup_steps = 0;
  options.optimizer.learning_rate = 1e38;
  options.max_steps = 1;
  ThreadPool threads(2);
  TrainData data = TinyData();
  data.validation.reset();
  ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, std::move(data), threads));
  EXPECT_ERROR_CONTAINS(trainer->Run(), "step 1: training has diverged; model.");
  EXPECT_FALSE(std::filesystem::exists(options.output + "/model"));
}

// As deep as a model may be, with every layer's records on the tape at once.
TEST(TrainerTest, TheDeepestModelNeedsNoRecomputation) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  ModelConfig config = TinyModel();
  config.num_hidden_layers = 256;
  config.hidden_size = config.intermediate_size = 16;
  config.num_attention_heads = config.num_key_value_heads = 2;
  ASSERT_OK(WriteFileAtomically(options.config, config.ToJson().dump()));
  ThreadPool threads(1);
  std::vector<double> losses;
  for (const bool recompute : {false, true}) {
    options.recompute = recompute;
    options.output = directory / (recompute ? "recompute" : "kept");
    ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, TinyData(), threads));
    for (int i = 0; i < 2; ++i) {
      ASSERT_OK_AND_ASSIGN(const StepMetrics metrics, trainer->Step());
      losses.push_back(metrics.loss);
    }
  }
  EXPECT_EQ(losses[1], losses[3]);
}

TEST(TrainerTest, AContextThatYarnStretchesMayBeTrained) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  ModelConfig config = TinyModel();
  config.rope_scaling = RopeScaling{.type = "yarn", .factor = 4, .original_max_position_embeddings = 128};
  ASSERT_OK(WriteFileAtomically(options.config, config.ToJson().dump()));
  options.sequence_length = options.tokens_per_step = options.micro_batch_tokens = 512;
  ThreadPool threads(2);
  ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, TinyData(), threads));
  ASSERT_OK(trainer->Step());
  options.sequence_length = options.tokens_per_step = options.micro_batch_tokens = 513;
  options.output = directory / "longer";
  EXPECT_ERROR_CONTAINS(Trainer::Create(options, TinyData(), threads),
                        "expected at most the model's 512 positions");
}

// Norms of heads, biases of o and windows have their gradients, and are in the checkpoints.
TEST(TrainerTest, OtherArchitecturesLearnAndResume) {
  for (const std::string name : {"qwen3", "mistral"}) {
    TemporaryDirectory directory;
    TrainOptions options = TinyOptions(directory);
    options.optimizer.kind = OptimizerKind::kMuon;
    options.max_steps = 40;
    ModelConfig config = TinyModel();
    config.model_type = name;
    config.attention_bias = config.attention_output_bias = name == "qwen3";
    config.sliding_window = 10;
    config.sliding_layers = {name == "mistral", true};
    ASSERT_OK(WriteFileAtomically(options.config, config.ToJson().dump()));
    TrainOptions parts = options;
    parts.output = directory / "parts";
    ASSERT_OK_AND_ASSIGN(const TrainSummary whole, RunOnce(options, 1));
    EXPECT_LT(Losses(options).at(40), 0.8 * Losses(options).at(1));
    ASSERT_OK(RunOnce(parts, 2, 13));
    parts.resume = true;
    ASSERT_OK_AND_ASSIGN(const TrainSummary resumed, RunOnce(parts, 3));
    EXPECT_EQ(*ReadFile(whole.model / "model.safetensors"), *ReadFile(resumed.model / "model.safetensors"));
    ASSERT_OK_AND_ASSIGN(const Model model, Model::Load(whole.model));
    EXPECT_EQ(model.config(), config);
    for (const NamedParameter& named : model.parameters()) {
      if (!named.name.ends_with("q_norm.weight") && !named.name.ends_with("o_proj.bias")) continue;
      const float initial = named.name.ends_with("bias") ? 0.0f : 1.0f;
      EXPECT_NE(named.parameter.data[1], initial) << named.name;
    }
  }
}

TEST(TrainerTest, WhatAKilledProcessLeftGoesWithTheNextStart) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  ASSERT_OK(RunOnce(options, 1, 3));
  const std::filesystem::path run = options.output;
  // No process has such a number.
  const std::filesystem::path leftovers[] = {run / "latest.tmp.2147483647.0",
                                             run / "loss.svg.tmp.2147483647.1", run / "checkpoint-4.tmp",
                                             run / "checkpoint-1.old"};
  for (const auto& path : leftovers) {
    if (path.string().find(".tmp.") != std::string::npos) {
      ASSERT_OK(WriteFileAtomically(path.string() + "x", ""));
      std::filesystem::rename(path.string() + "x", path);
    } else {
      std::filesystem::create_directories(path);
      ASSERT_OK(WriteFileAtomically(path / "model.safetensors", "half"));
    }
  }
  options.resume = true;
  ThreadPool threads(1);
  ASSERT_OK(Trainer::Create(options, TinyData(), threads));
  for (const auto& path : leftovers) EXPECT_FALSE(std::filesystem::exists(path)) << path;
}

// A model whose weights hold an output projection of their own, although config.json ties it, is trained with
// both, and its checkpoints say so.
TEST(TrainerTest, AnOutputOfItsOwnIsTrained) {
  TemporaryDirectory directory;
  ThreadPool threads(1);
  ModelConfig config = TinyModel();
  config.tie_word_embeddings = false;
  Model initial(config);
  initial.Initialize(3);
  ASSERT_OK(initial.Save(directory / "initial"));
  config.tie_word_embeddings = true;
  ASSERT_OK(WriteFileAtomically(directory / "initial/config.json", config.ToJson().dump()));
  TrainOptions options = TinyOptions(directory);
  options.config.clear();
  options.initial = directory / "initial";
  {
    ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, TinyData(), threads));
    EXPECT_FALSE(trainer->model().config().tie_word_embeddings);
    ASSERT_OK(trainer->Step());
    ASSERT_OK(trainer->SaveCheckpoint());
  }
  options.resume = true;
  ASSERT_OK_AND_ASSIGN(const auto again, Trainer::Create(options, TinyData(), threads));
  EXPECT_FALSE(again->model().config().tie_word_embeddings);
  EXPECT_TRUE(again->model().remarks().empty());
}

TEST(TrainerTest, WrongInputIsRefusedBeforeAnythingRuns) {
  TemporaryDirectory directory;
  ThreadPool threads(1);
  const TrainOptions good = TinyOptions(directory);
  const auto create = [&](auto change) {
    TrainOptions options = good;
    change(options);
    return Trainer::Create(options, TinyData(), threads).status();
  };
  EXPECT_ERROR_CONTAINS(create([](auto& o) { o.max_steps = 0; }), "expected exactly one that is not 0");
  EXPECT_ERROR_CONTAINS(create([](auto& o) {
                          o.preset = "mega";
                          o.config.clear();
                        }),
                        "no preset \"mega\"");
  EXPECT_ERROR_CONTAINS(create([](auto& o) { o.config = "/nonexistent.json"; }), "/nonexistent.json");
  EXPECT_ERROR_CONTAINS(
      create([](auto& o) { o.sequence_length = o.tokens_per_step = o.micro_batch_tokens = 256; }),
      "batch.sequence_length is 256, expected at most the model's 128 positions");
  EXPECT_ERROR_CONTAINS(create([](auto& o) {
                          o.initial = "/nonexistent";
                          o.config.clear();
                        }),
                        "/nonexistent");
  EXPECT_FALSE(std::filesystem::exists(good.output));
}

TEST(TrainerTest, TokensOfAnotherVocabularyAreNamed) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  options.vocab_size = 20;
  ThreadPool threads(1);
  ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, TinyData(), threads));
  EXPECT_ERROR_CONTAINS(trainer->Step(), "but the model's vocab_size is 20");
  EXPECT_ERROR_CONTAINS(trainer->Validate(), "the validation data holds token");
}

TEST(TrainerTest, ARunIsNotOverwrittenByAccidentNorResumedWithOtherOptions) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  ASSERT_OK(RunOnce(options, 1, 3));
  EXPECT_ERROR_CONTAINS(RunOnce(options, 1), "holds checkpoint-3 of an earlier run");
  options.resume = true;
  TrainOptions changed = options;
  changed.optimizer.weight_decay = 0;
  EXPECT_ERROR_CONTAINS(RunOnce(changed, 1), "optimizer.weight_decay was 0.1 and is now 0");
  changed = options;
  changed.vocab_size = 100;
  EXPECT_ERROR_CONTAINS(RunOnce(changed, 1),
                        "the checkpoint is of another model: vocab_size is 61 there and 100");
  ASSERT_OK(RunOnce(options, 1));
}

TEST(TrainerTest, ABudgetOfTimeEndsTheRun) {
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  options.max_steps = 0;
  options.max_minutes = 0.5 / 60;
  ASSERT_OK_AND_ASSIGN(const TrainSummary summary, RunOnce(options, 1));
  EXPECT_GE(summary.steps, 1u);
  EXPECT_LT(summary.seconds, 60);
}

// The bytes of a text file as tokens.
class ByteSource : public BatchSource {
 public:
  explicit ByteSource(const std::string& path) {
    const Result<std::string> text = ReadFile(path);
    EXPECT_OK(text);
    text_ = *text;
  }
  Status Next(size_t num_tokens, PackedBatch& batch) override {
    if (next_ + num_tokens + 1 > text_.size()) next_ = 0;
    batch = {};
    for (size_t i = 0; i < num_tokens; ++i, ++next_) {
      batch.tokens.push_back(static_cast<unsigned char>(text_[next_]));
      batch.targets.push_back(static_cast<unsigned char>(text_[next_ + 1]));
      batch.positions.push_back(static_cast<int32_t>(i));
    }
    batch.sequence_starts = {0, static_cast<int32_t>(num_tokens)};
    return {};
  }
  void Rewind() override { next_ = 0; }
  Json State() const override { return {}; }
  Status Restore(const Json&) override { return {}; }

 private:
  std::string text_;
  size_t next_ = 0;
};

// The depth and head count of the flagship train without diverging, on real text (docs/design.md, "The
// model"). One thread: some 100,000 short loops would wait for each other where the machine runs other tests
// too.
TEST(TrainerTest, Narrow128LearnsOver20Steps) {
  if (!QWEN25_COUNTS_ALLOCATIONS)
    GTEST_SKIP() << "SKIPPED: 128 layers take minutes under a sanitizer, which sees "
                    "every op in tests of its own";
  TemporaryDirectory directory;
  TrainOptions options = TinyOptions(directory);
  options.config.clear();
  options.preset = "narrow-128";
  options.vocab_size = 256;
  options.sequence_length = options.tokens_per_step = options.micro_batch_tokens = 64;
  options.max_steps = 20;
  options.recompute = true;
  options.optimizer.learning_rate = 5e-4;
  options.schedule.warmup_steps = 5;
  ThreadPool threads(1);
  TrainData data;
  data.train = std::make_unique<ByteSource>(SourcePath("LICENSE"));
  ASSERT_OK_AND_ASSIGN(const auto trainer, Trainer::Create(options, std::move(data), threads));
  EXPECT_EQ(trainer->model().layers.size(), 128u);
  EXPECT_EQ(trainer->model().config().num_attention_heads, 128u);
  std::vector<double> losses;
  for (int step = 0; step < 20; ++step) {
    ASSERT_OK_AND_ASSIGN(const StepMetrics metrics, trainer->Step());
    ASSERT_TRUE(std::isfinite(metrics.loss) && std::isfinite(metrics.gradient_norm));
    losses.push_back(metrics.loss);
  }
  for (const float weight : trainer->model().weights()) ASSERT_TRUE(std::isfinite(weight));
  EXPECT_NEAR(losses[0], std::log(256), 0.5);
  const double last = (losses[16] + losses[17] + losses[18] + losses[19]) / 4;
  EXPECT_LT(last, losses[0] - 0.7) << "from " << losses.front() << " to " << losses.back();
}

}  // namespace
}  // namespace qwen25
