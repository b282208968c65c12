// Everything that decides what a training run does: filled from a recipe (TOML), then from flags.
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

// What a model is trained for.
enum class Objective {
  kNextToken,    // to continue text
  kContrastive,  // to give the texts of a pair similar vectors (train/objective.h)
};
std::string_view ObjectiveName(Objective objective);
// kInvalidArgument lists the names there are.
Result<Objective> ParseObjective(std::string_view name);

struct TrainOptions {
  // The model: one of
  std::string preset = "nano";  // a named shape (model/config.h), with fresh weights
  std::string config;           // or the config.json of another shape, with fresh weights
  std::string initial;          // or a folder with weights to go on from
  uint32_t vocab_size = 0;      // replaces the shape's, e.g. by the tokenizer's; 0 keeps it
  int64_t eos_token_id = -1;    // written into config.json, where generation finds it; -1 keeps the shape's
  std::string routing;          // attention routing (RoutingPolicy::Parse); empty keeps the shape's
  uint64_t routing_from_step = 0;  // attention is dense before
  std::string tokenizer;           // folder whose tokenizer files go into every checkpoint; or empty

  Objective objective = Objective::kNextToken;
  // Of kContrastive. Its steps take as many whole pairs as tokens_per_step holds, in one micro-batch, since
  // each pair is told apart from all others of its step; sequence_length is the most that a text may have.
  float temperature = 0.05f;
  bool causal = false;  // a token sees only those before it; else the whole text

  // Token shards, without the extension (.bin, .idx).
  std::vector<std::string> train_data;
  std::vector<double>
      train_weights;  // of each of train_data, its share of the rows; empty: all are one corpus
  std::vector<std::string> validation_data;  // may be empty

  // Batches. An optimiser step is tokens_per_step tokens, run in micro-batches whose gradients add up.
  uint32_t sequence_length = 512;      // tokens of one packed sequence
  uint64_t tokens_per_step = 16384;    // a multiple of sequence_length
  uint64_t micro_batch_tokens = 8192;  // a multiple of sequence_length; memory for activations grows with it
  bool recompute = false;              // trade a third more time for much less memory (model/decoder.h)

  // Length: exactly one of
  uint64_t max_steps = 0;
  uint64_t max_tokens = 0;  // rounded up to whole steps
  double max_minutes = 0;   // of training; the number of steps is planned from the speed measured on the way,
                           // so such a run is not repeatable bit by bit, though a resumed one goes on exactly
  uint64_t seed = 1;  // of initial weights and the order of the data

  OptimizerOptions optimizer;
  ScheduleOptions schedule = {.warmup_steps = 50};

  uint64_t validate_every = 0;     // steps; 0: at the end only
  uint64_t validation_tokens = 0;  // of one validation; 0: all there are
  uint64_t checkpoint_every = 0;   // steps; 0: at the end and when stopped
  uint32_t keep_checkpoints = 2;   // the newest ones that stay
  bool measure_peak =
      true;  // a short matrix product at the start, for the share of the machine's rate in use

  std::string output;   // the run's folder
  bool resume = false;  // go on from the newest checkpoint in it, if there is one

  // Every rule above, and that inputs are given. The message names option, value and rule.
  Status Validate() const;
  uint64_t SequencesPerStep() const { return tokens_per_step / sequence_length; }
  uint64_t SequencesPerMicroBatch() const { return micro_batch_tokens / sequence_length; }
};

// Sets options from a recipe; those that it does not name stay. Errors name file, line, key, value and the
// wanted type; a key that does not exist is one.
Status ReadRecipe(const std::filesystem::path& path, TrainOptions& options);
Status ParseRecipe(std::string_view text, std::string_view origin, TrainOptions& options);

// Sets one option by its key in a recipe, as a flag does: SetOption("optimizer.learning_rate", "3e-4",
// options). Strings need no quotes; lists are separated by commas.
Status SetOption(std::string_view key, std::string_view value, TrainOptions& options);

// All options as a recipe, readable by ParseRecipe.
std::string FormatRecipe(const TrainOptions& options);

// The options that decide the numbers of a run, by key. A checkpoint keeps them, and a run may resume from it
// only if they are the same: the error names each that differs, with both values. Where and how a run is
// executed (folders, intervals, micro-batches' memory use by recompute) is not among them; its length is
// unless the schedule is constant, since cosine and decay depend on it.
Json ResultOptions(const TrainOptions& options);
Status CheckSameRun(const Json& saved, const TrainOptions& options);

}  // namespace qwen25
