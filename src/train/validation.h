// The loss over held-out data.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "train/batch_source.h"
#include "train/metrics.h"
#include "train/objective.h"
#include "train/step.h"

namespace qwen25 {

// Rows of one validation batch: bounds the memory of activations, and changes no number.
inline constexpr size_t kValidationBatchTokens = 8192;

class Validation {
 public:
  // All must outlive this object.
  Validation(const TrainOptions& options, const Model& model, const TrainingObjective& objective,
             TrainingWorkspace& workspace)
      : options_(options), model_(model), objective_(objective), workspace_(workspace) {}

  // The mean loss over `source` (or its first options.validation_tokens tokens, in whole batches) from its
  // start; what is counted: metrics.h. `token_bytes`: bytes of text that each token stands for, by id, or
  // empty. `step`: optimiser steps done. The result has no `tokens` yet.
  Result<ValidationMetrics> Run(BatchSource& source, std::span<const uint32_t> token_bytes, uint64_t step);

 private:
  const TrainOptions& options_;
  const Model& model_;
  const TrainingObjective& objective_;
  TrainingWorkspace& workspace_;
  PackedBatch batch_;
};

}  // namespace qwen25
