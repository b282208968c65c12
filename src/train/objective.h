// Training objectives: the loss of a batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "model/decoder.h"
#include "model/model.h"
#include "train/batch_source.h"
#include "train/train_options.h"

namespace qwen25 {

// Common to all passes of one step, or of one validation.
struct ObjectivePass {
  uint64_t step = 0;                        // optimiser steps done before
  float grad_scale = 0;                     // gradients are of grad_scale times the sum of losses
  const PackedHead* packed_head = nullptr;  // from PackHeadOf(), or null: each pass packs it
};

// Computes losses of batches. An objective knows nothing of optimisers and folders.
class TrainingObjective {
 public:
  virtual ~TrainingObjective() = default;

  // Whether a micro-batch is large enough after `num_tokens` were requested from the source.
  virtual bool IsComplete(const PackedBatch& batch, size_t num_tokens) const = 0;
  // The number of terms in a batch's loss: tokens to predict, or pairs. Known before any pass, so that all
  // micro-batches of a step share one divisor.
  virtual size_t CountTerms(const PackedBatch& batch) const = 0;
  // Packs the output projection for all passes until the weights change; empty if the loss does not use it.
  virtual PackedHead PackHeadOf(Execution& execution) const = 0;
  // Runs a pass and returns the sum of the losses. If execution.tape is set, the caller's Tape::BackwardTo
  // adds the gradients; `batch` must live until then.
  virtual LossSum Loss(Execution& execution, const PackedBatch& batch, const ObjectivePass& pass) const = 0;
};

// The objective that `options` names. `model` must outlive it.
std::unique_ptr<TrainingObjective> MakeObjective(const TrainOptions& options, const Model& model);

}  // namespace qwen25
