// Checkpoints of a training run: all that is needed to go on as if it had never stopped.
//
// A run's folder holds `checkpoint-<step>` folders and the file `latest` with the name of one of them. A
// checkpoint is a Hugging Face model folder (config.json, model.safetensors, tokenizer files) with two more
// files: optimizer.safetensors (moments by parameter name) and trainer_state.json (the rest;
// docs/formats/checkpoint.md).
//
// A crash at any instant leaves a run that can be resumed: a checkpoint is written as
// `checkpoint-<step>.tmp`, every file flushed, then renamed, and only then does `latest` name it and do older
// ones go.
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

// What a checkpoint holds besides weights and moments.
struct TrainerState {
  uint64_t step = 0;           // optimiser steps done
  uint64_t tokens = 0;         // trained on
  double seconds = 0;          // spent training
  uint64_t planned_steps = 0;  // the length that the schedule goes by
  uint64_t plan_revision = 0;  // how often a time budget's plan was made
  double best_validation_loss = std::numeric_limits<double>::infinity();
  uint64_t best_validation_step = 0;
  Json loader;      // the place in the data, as the loader wrote it
  Json validation;  // the same of the validation data, by which other data is told; null without
  Json options;     // ResultOptions(): what decides the numbers
};

// The checkpoints of one run.
class CheckpointStore {
 public:
  explicit CheckpointStore(std::filesystem::path run) : run_(std::move(run)) {}

  // Writes checkpoint-<state.step>, with copies of `extra_files` (tokenizer files) in it, and removes all but
  // the newest `keep`. A failure (a full disk) leaves the older ones as they were.
  Status Save(const Model& model, const Optimizer& optimizer, const TrainerState& state,
              std::span<const std::filesystem::path> extra_files, uint32_t keep) const;

  // Removes what earlier processes were writing or removing when they died. Save() does it, too.
  Status RemoveLeftovers() const;

  // The folder that `latest` names, or, if that file is missing or names none, the newest checkpoint; nothing
  // if there is none.
  Result<std::optional<std::filesystem::path>> Latest() const;

  // Steps of the complete checkpoints, ascending.
  Result<std::vector<uint64_t>> Steps() const;
  std::filesystem::path PathOf(uint64_t step) const;

 private:
  std::filesystem::path run_;
};

// Reads trainer_state.json and holds every file of the checkpoint to the size and hash that it records.
// kCorrupt names what is missing or changed.
Result<TrainerState> ReadTrainerState(const std::filesystem::path& checkpoint);

// Fills the moments. Missing, unknown and misshapen tensors are errors that name the tensor, with wanted and
// found.
Status ReadOptimizerState(const std::filesystem::path& checkpoint, Optimizer& optimizer);

// `config` against the checkpoint's config.json: the error names what differs, with both values.
Status CheckSameModel(const std::filesystem::path& checkpoint, const ModelConfig& config);

// The tokenizer's files against their copies in the checkpoint: token ids must keep their meaning. Files that
// one side does not have, and those that give ids no meaning (chat templates, settings of generation), do not
// matter.
Status CheckSameTokenizer(const std::filesystem::path& checkpoint,
                          std::span<const std::filesystem::path> tokenizer_files);

}  // namespace qwen25
