// One optimiser step's batches, loss and gradients. It knows nothing of folders, checkpoints and plans.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/model.h"
#include "model/parameter_set.h"
#include "ops/execution.h"
#include "train/batch_source.h"
#include "train/objective.h"
#include "train/train_options.h"

namespace qwen25 {

// What passes run on. It is kept from step to step, so that a steady state allocates nothing.
struct TrainingWorkspace {
  explicit TrainingWorkspace(ThreadPool& pool) : threads(pool), scratch(pool.num_threads()) {}

  ThreadPool& threads;
  Scratch scratch;
  TensorPool tensors;
  Tape tape;
};

// kInvalidArgument if a token of `batch` is not below the vocabulary's size; `what` data it is of.
Status CheckTokens(const PackedBatch& batch, const Model& model, const char* what);

// For messages: the first number that is not finite among the model's weights, or else their gradients (which
// may be null), as "; model.norm.weight holds nan at element 0". Empty if there is none.
std::string DescribeNotFinite(const ParameterSet& parameters, const Gradients* gradients);

class TrainingStep {
 public:
  // All must outlive this object.
  TrainingStep(const TrainOptions& options, const Model& model, const TrainingObjective& objective,
               const Gradients& gradients, TrainingWorkspace& workspace);

  // Fills the micro-batches with the next tokens_per_step tokens of `source`, or, of pairs, as many of them
  // as these hold.
  Status Load(BatchSource& source);
  // Makes the gradients those of the mean loss over the micro-batches, and returns that loss. `step`:
  // optimiser steps done before this one.
  Result<double> Backward(uint64_t step);

  // Of the loaded micro-batches: tokens, and floating-point operations of forward and backward passes.
  uint64_t num_tokens() const;
  double flops() const;

 private:
  const TrainOptions& options_;
  const Model& model_;
  const TrainingObjective& objective_;
  const Gradients& gradients_;
  TrainingWorkspace& workspace_;
  std::vector<PackedBatch> batches_;  // the step's micro-batches
};

}  // namespace qwen25
