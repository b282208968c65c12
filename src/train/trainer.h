// Runs a training: folder and lock, plan, checkpoints and metrics. The computations of steps and validations
// are in step.h, validation.h and objective.h.
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

// Callbacks of Run(); all may be empty.
struct TrainCallbacks {
  std::function<void(const StepMetrics&)> on_step;
  std::function<void(const ValidationMetrics&)> on_validation;
  // Set by a signal handler: the run then finishes its step, writes a checkpoint and returns.
  const std::atomic<bool>* stop = nullptr;
};

struct TrainSummary {
  bool stopped = false;  // by the user, before the end
  uint64_t steps = 0;
  uint64_t tokens = 0;
  double seconds = 0;
  std::optional<StepMetrics> last_step;  // none if the run was already finished
  std::optional<ValidationMetrics> last_validation;
  double best_validation_loss = 0;
  std::filesystem::path checkpoint;  // the newest one
  std::filesystem::path model;       // the final model's folder; empty if stopped
};

// One run. Losses are bit-identical for any number of threads. A resumed run gives the numbers of an
// uninterrupted one.
class Trainer {
 public:
  // Checks the options and creates or loads the model. If options.resume is set and the output folder holds a
  // checkpoint, continues from it. kInvalidArgument if the folder holds a checkpoint and `resume` is not set,
  // so that no run is overwritten by accident. data.train must be set. `threads` must outlive the trainer.
  static Result<std::unique_ptr<Trainer>> Create(const TrainOptions& options, TrainData data,
                                                 ThreadPool& threads);

  // One optimiser step on the next tokens_per_step tokens; of pairs, on as many as fit into that many tokens.
  // After the first step it allocates nothing. If the loss or the gradient norm is not finite, the error
  // names the step, and the weights stay as they were.
  Result<StepMetrics> Step();
  // The loss over the validation data, or over its first options.validation_tokens tokens in whole batches.
  // kInvalidArgument without validation data.
  Result<ValidationMetrics> Validate();
  // Writes a checkpoint unless the newest one is of this step. An error names a number that is not finite.
  Status SaveCheckpoint();
  // Takes steps to the end of the plan, with validations, checkpoints and metrics as the options say, then
  // writes the final model to <output>/model.
  Result<TrainSummary> Run(const TrainCallbacks& callbacks = {});

  const Model& model() const { return model_; }
  const TrainOptions& options() const { return options_; }
  const TrainerState& state() const { return state_; }
  // The planned number of steps; 0: not known yet (at the start of a budget of minutes).
  uint64_t planned_steps() const { return plan_.total_steps(); }
  // MeasureGemmFlops of this machine; 0 if not measured.
  double peak_flops() const { return peak_flops_; }
  // The peak memory of activations, and the memory of weights, gradients and optimiser state, in bytes.
  size_t peak_activation_bytes() const { return workspace_.tensors.peak_bytes(); }
  size_t state_bytes() const;

 private:
  Trainer(const TrainOptions& options, TrainData data, Model model, ThreadPool& threads);

  Status Resume(const std::filesystem::path& checkpoint, TrainerState state);
  Result<ValidationMetrics> ValidateAndReport(const TrainCallbacks& callbacks);
  // An error names the tensor if a weight or a number of the optimiser's state is not finite: training could
  // not continue from such a checkpoint.
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
  double session_start_ = 0;           // clock when this process began to train, in seconds
  double seconds_before_session_ = 0;  // training time of earlier processes

  TrainingWorkspace workspace_;
  std::unique_ptr<TrainingObjective> objective_;
  TrainingStep step_;
  Validation validation_;
};

}  // namespace qwen25
