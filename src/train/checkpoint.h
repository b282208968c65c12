// Checkpoints of a training run: everything that a resumed run needs to continue as if it had never stopped.
//
// A run's folder holds `checkpoint-<step>` folders and a file `latest` that names one of them. A checkpoint
// is a Hugging Face model folder (config.json, model.safetensors, tokenizer files) with two more files:
// optimizer.safetensors (moments by parameter name) and trainer_state.json (the rest). Format:
// docs/formats/checkpoint.md.
//
// A run can be resumed after a crash at any instant: a checkpoint is written as `checkpoint-<step>.tmp`,
// every file is flushed, and the folder is renamed; only then is `latest` replaced, and only after that are
// older checkpoints removed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "model/model.h"
#include "train/optimizer.h"

namespace qwen25 {

// The contents of a checkpoint besides weights and moments.
struct TrainerState {
  uint64_t step = 0;           // optimiser steps done
  uint64_t tokens = 0;         // trained on so far
  double seconds = 0;          // spent training so far
  uint64_t planned_steps = 0;  // length of the run for the schedule; 0: not known yet
  uint64_t plan_revision = 0;  // StepPlan::revision(), for runs with a time budget
  double best_validation_loss = std::numeric_limits<double>::infinity();
  uint64_t best_validation_step = 0;
  Json loader;      // BatchSource::State() of the training data
  Json validation;  // BatchSource::State() of the validation data, to recognise other data; null without
  Json options;     // ResultOptions(): the options that affect the numbers
};

// The checkpoints of one run.
class CheckpointStore {
 public:
  explicit CheckpointStore(std::filesystem::path run) : run_(std::move(run)) {}

  // Writes checkpoint-<state.step> with copies of `extra_files` (tokenizer files), then removes all but the
  // newest `keep` checkpoints, at least this one. A failure to write (a full disk) leaves the older ones as
  // they were.
  Status Save(const Model& model, const Optimizer& optimizer, const TrainerState& state,
              std::span<const std::filesystem::path> extra_files, uint32_t keep) const;

  // Removes files and folders that earlier processes were writing or removing when they died. Called by
  // Save().
  Status RemoveLeftovers() const;

  // The checkpoint that `latest` names or, if it names none, the newest one; nothing if there is no
  // checkpoint.
  Result<std::optional<std::filesystem::path>> Latest() const;

  // Steps of the complete checkpoints, ascending.
  Result<std::vector<uint64_t>> Steps() const;
  std::filesystem::path PathOf(uint64_t step) const;

 private:
  std::filesystem::path run_;
};

// Reads trainer_state.json and checks every file of the checkpoint against the size and hash recorded there.
// kCorrupt names a file that is missing or changed.
Result<TrainerState> ReadTrainerState(const std::filesystem::path& checkpoint);

// Fills the optimiser's state from optimizer.safetensors. An error names a tensor that is missing or has the
// wrong shape, with wanted and found, or says that the number of tensors differs.
Status ReadOptimizerState(const std::filesystem::path& checkpoint, Optimizer& optimizer);

// Compares `config` with the checkpoint's config.json. kInvalidArgument names the differences and both
// values.
Status CheckSameModel(const std::filesystem::path& checkpoint, const ModelConfig& config);

// Compares the tokenizer's files with their copies in the checkpoint: token ids must keep their meaning.
// Ignores files that one side lacks, and files that do not define ids (chat templates, generation settings).
Status CheckSameTokenizer(const std::filesystem::path& checkpoint,
                          std::span<const std::filesystem::path> tokenizer_files);

}  // namespace qwen25
