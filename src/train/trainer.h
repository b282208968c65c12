// Runs a training. It keeps the run's folder and its lock, the plan, the checkpoints and the metrics; what a
// step and a validation compute stands in step.h, validation.h and objective.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "base/file.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "model/model.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/step.h"
#include "train/step_plan.h"
#include "train/train_data.h"
#include "train/train_options.h"
#include "train/validation.h"

namespace qwen25 {

// What Run() tells while it runs. All may be absent.
struct TrainCallbacks {
  std::function<void(const StepMetrics&)> on_step;
  std::function<void(const ValidationMetrics&)> on_validation;
  // Set by a signal handler: the run finishes its step, writes a checkpoint and returns.
  const std::atomic<bool>* stop = nullptr;
};

struct TrainSummary {
  bool stopped = false;  // by the user, before the end
  uint64_t steps = 0;
  uint64_t tokens = 0;
  double seconds = 0;
  std::optional<StepMetrics> last_step;  // none if nothing was left to do
  std::optional<ValidationMetrics> last_validation;
  double best_validation_loss = 0;
  std::filesystem::path checkpoint;  // the newest one
  std::filesystem::path model;       // the final model's folder; empty if stopped
};

// One run. Losses are bit-identical for any number of threads, and for any interruptions: a resumed run
// computes what the uninterrupted one would have.
class Trainer {
 public:
  // Checks the options, builds or loads the model, and if options.resume is set and the output folder holds a
  // checkpoint, goes on from it. A folder with checkpoints and no `resume` is refused, so that no run
  // is overwritten by accident. `threads` must outlive the trainer.
  static Result<std::unique_ptr<Trainer>> Create(const TrainOptions& options, TrainData data,
                                                 ThreadPool& threads);

  // One optimiser step on the next tokens_per_step tokens, or, of pairs, as many of them as these hold.
  // Allocates nothing in a steady state. A loss or gradient that is not finite is an error that names the
  // step; weights are then as they were before it.
  Result<StepMetrics> Step();
  // The mean loss over the validation data (or its first options.validation_tokens tokens, in whole batches);
  // what is counted: metrics.h.
  Result<ValidationMetrics> Validate();
  Status SaveCheckpoint();
  // Steps to the end of the plan, with validation, checkpoints and metrics as the options say; then writes
  // the final model to <output>/model.
  Result<TrainSummary> Run(const TrainCallbacks& callbacks = {});

  const Model& model() const { return model_; }
  const TrainOptions& options() const { return options_; }
  const TrainerState& state() const { return state_; }
  // Steps that the run will take as far as is known; 0: not known yet (a budget of minutes, at its start).
  uint64_t planned_steps() const { return plan_.total_steps(); }
  // Floating-point operations per second of a large matrix product on this machine; 0 if not measured.
  double peak_flops() const { return peak_flops_; }
  // Most bytes that activations ever took, and bytes of weights, gradients and optimiser state.
  size_t peak_activation_bytes() const { return workspace_.tensors.peak_bytes(); }
  size_t state_bytes() const;

 private:
  Trainer(const TrainOptions& options, TrainData data, Model model, ThreadPool& threads);

  Status Resume(const std::filesystem::path& checkpoint, TrainerState state);
  Result<ValidationMetrics> ValidateAndReport(const TrainCallbacks& callbacks);
  // An error that names the tensor if a weight, or a number of the optimiser's, is not finite: nothing could
  // go on from a checkpoint that holds one.
  Status CheckFinite() const;
  Status SaveFinalModel(const std::filesystem::path& folder) const;

  const TrainOptions options_;
  std::optional<FolderLock> lock_;  // of the output folder
  TrainData data_;
  Model model_;
  Gradients gradients_;
  Optimizer optimizer_;
  CheckpointStore checkpoints_;
  StepPlan plan_;
  TrainerState state_;
  std::optional<MetricsWriter> metrics_;
  std::optional<uint64_t> saved_step_;  // of the newest checkpoint
  double peak_flops_ = 0;
  double session_start_ = 0;           // clock when this process began to train
  double seconds_before_session_ = 0;  // spent by earlier ones

  TrainingWorkspace workspace_;
  std::unique_ptr<TrainingObjective> objective_;
  TrainingStep step_;
  Validation validation_;
};

}  // namespace qwen25
