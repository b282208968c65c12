// Computes the loss over held-out data.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "train/batch_source.h"
#include "train/metrics.h"
#include "train/objective.h"
#include "train/step.h"

namespace qwen25 {

// Tokens of one validation batch. Bounds the memory of activations; does not affect the results.
inline constexpr size_t kValidationBatchTokens = 8192;

class Validation {
 public:
  // All must outlive this object.
  Validation(const TrainOptions& options, const Model& model, const TrainingObjective& objective,
             TrainingWorkspace& workspace)
      : options_(options), model_(model), objective_(objective), workspace_(workspace) {}

  // The loss over `source` from its start, or over its first options.validation_tokens tokens in whole
  // batches. `token_bytes`: bytes of text of each token, by id, or empty. `step`: optimiser steps done. Does
  // not set ValidationMetrics::tokens. kInvalidArgument if there is nothing to predict or the loss is not
  // finite.
  Result<ValidationMetrics> Run(BatchSource& source, std::span<const uint32_t> token_bytes, uint64_t step);

 private:
  const TrainOptions& options_;
  const Model& model_;
  const TrainingObjective& objective_;
  TrainingWorkspace& workspace_;
  PackedBatch batch_;
};

}  // namespace qwen25
