#include "train/train_options.h"

#include <filesystem>

#include "base/test_util.h"
#include "model/config.h"

namespace qwen25 {
namespace {

TrainOptions Valid() {
  TrainOptions options;
  options.train_data = {"data/train"};
  options.output = "runs/test";
  options.max_steps = 10;
  return options;
}

TEST(TrainOptionsTest, EveryRuleIsNamed) {
  ASSERT_OK(Valid().Validate());
  const auto expect = [](auto change, const char* message) {
    TrainOptions options = Valid();
    change(options);
    EXPECT_ERROR_CONTAINS(options.Validate(), message);
  };
  expect([](auto& o) { o.train_data.clear(); }, "data.train is empty");
  expect([](auto& o) { o.train_weights = {1, 1}; }, "data.train_weights has 2 entries and data.train 1");
  expect([](auto& o) { o.train_weights = {-1}; }, "data.train_weights holds -1, expected positive numbers");
  expect([](auto& o) { o.output.clear(); }, "run.output is empty");
  expect([](auto& o) { o.config = o.initial = o.preset; }, "model.config and model.initial are both set");
  expect([](auto& o) { o.preset.clear(); }, "no model");
  expect([](auto& o) { o.sequence_length = 1; }, "batch.sequence_length is 1");
  expect([](auto& o) { o.tokens_per_step = 1000; }, "batch.tokens_per_step is 1000, expected a multiple of");
  expect([](auto& o) { o.micro_batch_tokens = 0; }, "batch.micro_batch_tokens is 0, expected a multiple of");
  expect([](auto& o) { o.max_tokens = 5; }, "expected exactly one that is not 0");
  expect([](auto& o) { o.max_steps = 0; }, "expected exactly one that is not 0");
  expect([](auto& o) { o.max_minutes = -1; }, "run.max_minutes is -1");
  expect([](auto& o) { o.keep_checkpoints = 0; }, "run.keep_checkpoints is 0");
  expect([](auto& o) { o.optimizer.learning_rate = 0; }, "optimizer.learning_rate is 0, expected a positive");
  expect([](auto& o) { o.optimizer.beta2 = 1; }, "optimizer.beta2 is 1, expected a number from 0 to below 1");
  expect([](auto& o) { o.optimizer.clip_norm = -1; }, "optimizer.clip_norm is -1");
  expect([](auto& o) { o.schedule.min_ratio = 3; }, "schedule.min_ratio is 3");
}

TEST(TrainOptionsTest, RecipeErrorsNameFileLineKeyAndType) {
  TrainOptions options;
  const auto parse = [&](const char* text) { return ParseRecipe(text, "r.toml", options); };
  EXPECT_ERROR_CONTAINS(parse("[run]\nmax_steps = \"ten\"\n"),
                        "r.toml:2: run.max_steps is 'ten', expected an integer from 0 to");
  EXPECT_ERROR_CONTAINS(parse("[run]\nmax_steps = -1\n"),
                        "run.max_steps is -1, expected an integer from 0 to");
  EXPECT_ERROR_CONTAINS(parse("[run]\nmax_steps = 1.5\n"), "run.max_steps is 1.5, expected an integer");
  EXPECT_ERROR_CONTAINS(parse("[batch]\nsequence_length = 5000000000\n"), "integer from 0 to 4294967295");
  EXPECT_ERROR_CONTAINS(parse("[batch]\nrecompute = 1\n"), "batch.recompute is 1, expected true or false");
  EXPECT_ERROR_CONTAINS(parse("[optimizer]\nlearning_rate = true\n"),
                        "optimizer.learning_rate is true, expected a number");
  EXPECT_ERROR_CONTAINS(parse("[optimizer]\nkind = \"sgd\"\n"),
                        "r.toml:2: optimizer.kind: optimizer is \"sgd\"");
  EXPECT_ERROR_CONTAINS(parse("[optimizer]\nkind = 3\n"), "optimizer.kind: expected a string");
  EXPECT_ERROR_CONTAINS(parse("[data]\ntrain = \"x\"\n"), "data.train is 'x', expected a list of strings");
  EXPECT_ERROR_CONTAINS(parse("[data]\ntrain = [1]\n"), "expected a list of strings");
  EXPECT_ERROR_CONTAINS(parse("[model]\npreset = 1\n"), "model.preset is 1, expected a string");
  EXPECT_ERROR_CONTAINS(parse("[run]\nmax_stepz = 3\n"),
                        "there is no option \"run.max_stepz\"; there are model.preset");
  EXPECT_ERROR_CONTAINS(parse("max_steps = 3\n"), "r.toml:1: max_steps stands outside a section");
  EXPECT_ERROR_CONTAINS(parse("[run\n"), "r.toml:1: not valid TOML");
  // An error leaves everything as it was.
  EXPECT_ERROR_CONTAINS(parse("[run]\nseed = 77\nmax_steps = false\n"), "r.toml:3");
  EXPECT_EQ(options.seed, TrainOptions().seed);
  EXPECT_ERROR_CONTAINS(ReadRecipe("/nonexistent/r.toml", options), "/nonexistent/r.toml: cannot open");
}

TEST(TrainOptionsTest, ARecipeReadsBack) {
  TrainOptions options = Valid();
  options.train_data = {"a \"quoted\" name", "b"};
  options.train_weights = {0.25, 3};
  options.optimizer.kind = OptimizerKind::kMuon;
  options.optimizer.epsilon = 1e-10;
  options.schedule.kind = ScheduleKind::kWsd;
  options.max_minutes = 5.5;
  options.recompute = true;
  options.eos_token_id = 7;
  TrainOptions read;
  ASSERT_OK(ParseRecipe(FormatRecipe(options), "recipe", read));
  EXPECT_EQ(FormatRecipe(read), FormatRecipe(options));
  EXPECT_EQ(read.train_data, options.train_data);
  EXPECT_EQ(read.train_weights, options.train_weights);
  EXPECT_EQ(read.optimizer.epsilon, 1e-10);
  EXPECT_EQ(read.schedule.kind, ScheduleKind::kWsd);
}

TEST(TrainOptionsTest, FlagsSetOptionsByKey) {
  TrainOptions options;
  ASSERT_OK(SetOption("optimizer.learning_rate", "3e-4", options));
  EXPECT_EQ(options.optimizer.learning_rate, 3e-4);
  ASSERT_OK(SetOption("optimizer.learning_rate", "1", options));
  EXPECT_EQ(options.optimizer.learning_rate, 1.0);
  ASSERT_OK(SetOption("data.train", "a,b c", options));
  EXPECT_EQ(options.train_data, (std::vector<std::string>{"a", "b c"}));
  ASSERT_OK(SetOption("data.train_weights", "0.5,2", options));
  EXPECT_EQ(options.train_weights, (std::vector<double>{0.5, 2}));
  EXPECT_ERROR_CONTAINS(SetOption("data.train_weights", "a,b", options), "expected a list of numbers");
  ASSERT_OK(SetOption("run.output", "a \"b\"\\", options));
  EXPECT_EQ(options.output, "a \"b\"\\");
  ASSERT_OK(SetOption("schedule.kind", "wsd", options));
  EXPECT_EQ(options.schedule.kind, ScheduleKind::kWsd);
  EXPECT_ERROR_CONTAINS(SetOption("run.max_steps", "many", options),
                        "option run.max_steps=many: run.max_steps is 'many', expected an integer");
  EXPECT_ERROR_CONTAINS(SetOption("run.max_steps", "3\nmax = 4", options), "expected an integer");
  EXPECT_ERROR_CONTAINS(SetOption("max_steps", "3", options), "there is no option \"max_steps\"");
}

TEST(TrainOptionsTest, AResumedRunKeepsWhatDecidesItsNumbers) {
  const TrainOptions options = Valid();
  const Json saved = *ParseJson(ResultOptions(options).dump(), "state");
  ASSERT_OK(CheckSameRun(saved, options));
  TrainOptions moved = options;  // where and how a run is executed may change
  moved.output = "elsewhere";
  moved.recompute = true;
  moved.checkpoint_every = 3;
  ASSERT_OK(CheckSameRun(saved, moved));
  TrainOptions changed = options;
  changed.optimizer.learning_rate = 0.5;
  changed.sequence_length = 128;
  EXPECT_ERROR_CONTAINS(CheckSameRun(saved, changed), "batch.sequence_length was 512 and is now 128");
  EXPECT_ERROR_CONTAINS(CheckSameRun(saved, changed), "optimizer.learning_rate was 0.001 and is now 0.5");
  TrainOptions longer = options;
  longer.max_steps = 20;
  EXPECT_ERROR_CONTAINS(CheckSameRun(saved, longer), "run.max_steps was 10 and is now 20");
  longer.schedule.kind = ScheduleKind::kConstant;
  TrainOptions constant = options;
  constant.schedule.kind = ScheduleKind::kConstant;
  ASSERT_OK(CheckSameRun(ResultOptions(constant), longer));
}

TEST(TrainOptionsTest, EveryRecipeOfTheProjectIsValid) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SourcePath("presets"))) {
    if (entry.path().extension() != ".toml") continue;
    SCOPED_TRACE(entry.path().string());
    TrainOptions options;
    ASSERT_OK(ReadRecipe(entry.path(), options));
    ASSERT_OK(FindPreset(options.preset));
    options.train_data = {"x"};
    options.output = "y";
    if (options.max_steps == 0 && options.max_tokens == 0) options.max_minutes = 5;
    ASSERT_OK(options.Validate());
    ++count;
  }
  EXPECT_GE(count, 3u);
}

}  // namespace
}  // namespace qwen25
