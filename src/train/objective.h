// What a model is trained for: how a batch is judged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "model/decoder.h"
#include "model/model.h"
#include "train/batch_source.h"
#include "train/train_options.h"

namespace qwen25 {

// What the passes of one step, or of one validation, share.
struct ObjectivePass {
  uint64_t step = 0;                        // optimiser steps done before
  float grad_scale = 0;                     // the gradients are those of grad_scale times the sum of losses
  const PackedHead* packed_head = nullptr;  // PackHeadOf(), or null: each pass packs what it needs
};

// The loss of batches. An objective knows nothing of optimisers, folders and steps but their number.
class TrainingObjective {
 public:
  virtual ~TrainingObjective() = default;

  // Whether a micro-batch is as large as it must be: `num_tokens` were requested from the source.
  virtual bool IsComplete(const PackedBatch& batch, size_t num_tokens) const = 0;
  // What the loss of a batch is summed over: tokens to predict, or pairs. It is known before any pass, so
  // that all micro-batches of a step share one divisor.
  virtual size_t CountTerms(const PackedBatch& batch) const = 0;
  // The output projection for all passes until the weights change; empty if the loss uses none.
  virtual PackedHead PackHeadOf(Execution& execution) const = 0;
  // One pass over a batch. If execution.tape is set, the caller walks back over it, which adds the gradients;
  // `batch` must stay until then.
  virtual LossSum Loss(Execution& execution, const PackedBatch& batch, const ObjectivePass& pass) const = 0;
};

// The objective that `options` names. `model` must outlive it.
std::unique_ptr<TrainingObjective> MakeObjective(const TrainOptions& options, const Model& model);

}  // namespace qwen25
