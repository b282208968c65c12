// The options of a training run, set from a recipe (TOML), then from flags.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace qwen25 {

// The objective of training.
enum class Objective {
  kNextToken,    // predict the next token
  kContrastive,  // give the texts of a pair similar vectors (train/objective.h)
};
std::string_view ObjectiveName(Objective objective);
// kInvalidArgument lists the known names.
Result<Objective> ParseObjective(std::string_view name);

struct TrainOptions {
  // The model: `initial` if it is set, else `config` if it is set, else `preset`. Not both of the first two.
  std::string preset = "nano";  // a preset (model/config.h), with new weights
  std::string config;           // a config.json, with new weights
  std::string initial;          // a folder or GGUF file with weights to start from
  uint32_t vocab_size = 0;      // replaces the configuration's; 0 keeps it
  int64_t eos_token_id = -1;    // replaces the configuration's, for generation; -1 keeps it
  std::string routing;          // attention routing (RoutingPolicy::Parse); empty keeps the configuration's
  uint64_t routing_from_step = 0;  // attention is dense before this step
  std::string tokenizer;  // folder whose tokenizer files are copied to every checkpoint; may be empty

  Objective objective = Objective::kNextToken;
  // For kContrastive. A step takes as many whole pairs as fit into tokens_per_step, in one micro-batch, since
  // each pair is compared with all others of its step; sequence_length is the most tokens of a text.
  float temperature = 0.05f;  // above 0
  bool causal = false;        // true: a token attends to earlier tokens only; false: to the whole text

  // Token shards, without the extension (.bin, .idx).
  std::vector<std::string> train_data;
  std::vector<double> train_weights;  // for each of train_data, relative share of the rows; empty: one corpus
  std::vector<std::string> validation_data;  // may be empty

  // Batches. An optimiser step has tokens_per_step tokens, in micro-batches whose gradients add up.
  uint32_t sequence_length = 512;      // tokens of one packed sequence, at least 2
  uint64_t tokens_per_step = 16384;    // a multiple of sequence_length
  uint64_t micro_batch_tokens = 8192;  // a multiple of sequence_length; determines the memory for activations
  bool recompute = false;  // a third more time, much less memory for activations (model/decoder.h)

  // Length: exactly one of these is not 0.
  uint64_t max_steps = 0;
  uint64_t max_tokens = 0;  // rounded up to whole steps
  // Minutes of training. The number of steps follows from the measured speed (StepPlan), so that such a run
  // does not repeat bit by bit.
  double max_minutes = 0;
  uint64_t seed = 1;  // of initial weights and of the order of the data

  OptimizerOptions optimizer;
  ScheduleOptions schedule = {.warmup_steps = 50};

  uint64_t validate_every = 0;     // steps; 0: at the end only
  uint64_t validation_tokens = 0;  // of one validation, rounded up to whole batches; 0: all
  uint64_t checkpoint_every = 0;   // steps; 0: only at the end and when stopped
  uint32_t keep_checkpoints = 2;   // the number of newest checkpoints to keep, at least 1
  bool measure_peak = true;        // MeasureGemmFlops at the start, for StepMetrics::flop_utilization

  std::string output;   // the run's folder
  bool resume = false;  // continue from the checkpoint in it (CheckpointStore::Latest), if there is one

  // Checks all rules above, and that inputs are given. The message names option, value and rule.
  Status Validate() const;
  uint64_t SequencesPerStep() const { return tokens_per_step / sequence_length; }
  uint64_t SequencesPerMicroBatch() const { return micro_batch_tokens / sequence_length; }
};

// Sets the options that a recipe names. Errors, such as an unknown key, name file, line, key, value and the
// expected type; `options` is then unchanged.
Status ReadRecipe(const std::filesystem::path& path, TrainOptions& options);
Status ParseRecipe(std::string_view text, std::string_view origin, TrainOptions& options);

// Sets one option by its key in a recipe, for a flag: SetOption("optimizer.learning_rate", "3e-4", options).
// Strings need no quotes; commas separate the elements of lists.
Status SetOption(std::string_view key, std::string_view value, TrainOptions& options);

// All options except `resume` as a recipe for ParseRecipe.
std::string FormatRecipe(const TrainOptions& options);

// The options that affect the numbers of a run, by key. A checkpoint keeps them, and a run resumes only with
// the same ones: CheckSameRun names each difference with both values. Options of execution (folders,
// intervals, recompute) are not among them; the length is, unless the schedule is constant.
Json ResultOptions(const TrainOptions& options);
Status CheckSameRun(const Json& saved, const TrainOptions& options);

}  // namespace qwen25
