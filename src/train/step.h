// The batches, loss and gradients of one optimiser step, independent of folders, checkpoints and plans.
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

// Threads and memory for passes, kept from step to step, so that steps after the first allocate nothing.
struct TrainingWorkspace {
  explicit TrainingWorkspace(ThreadPool& pool) : threads(pool), scratch(pool.num_threads()) {}

  ThreadPool& threads;
  Scratch scratch;
  TensorPool tensors;
  Tape tape;
};

// kInvalidArgument if a token of `batch` is outside the model's vocabulary. `what` names the data:
// "training", "validation".
Status CheckTokens(const PackedBatch& batch, const Model& model, const char* what);

// For messages: the first number that is not finite among the weights or, if those are finite, among
// `gradients` (may be null), as "; model.norm.weight holds nan at element 0". Empty if all are finite.
std::string DescribeNotFinite(const ParameterSet& parameters, const Gradients* gradients);

class TrainingStep {
 public:
  // All must outlive this object.
  TrainingStep(const TrainOptions& options, const Model& model, const TrainingObjective& objective,
               const Gradients& gradients, TrainingWorkspace& workspace);

  // Fills the micro-batches with the next tokens_per_step tokens of `source`; of pairs, with as many as fit
  // into that many tokens. kInvalidArgument if the data ends or a token is outside the vocabulary.
  Status Load(BatchSource& source);
  // Overwrites the gradients with those of the mean loss over all micro-batches, and returns this loss.
  // `step`: optimiser steps done before. kInvalidArgument if there is nothing to predict.
  Result<double> Backward(uint64_t step);

  // Tokens of the loaded micro-batches, and floating-point operations of their forward and backward passes.
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
