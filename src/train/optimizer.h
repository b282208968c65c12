// The optimisers AdamW and Muon.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/parameter_set.h"
#include "tensor/aligned_buffer.h"
#include "train/newton_schulz.h"

namespace qwen25 {

enum class OptimizerKind {
  kAdamW,  // for every parameter
  kMuon,   // for the matrices of hidden layers (ParameterKind::kMatrix), AdamW for the rest
};
std::string_view OptimizerKindName(OptimizerKind kind);
// kInvalidArgument lists the known names.
Result<OptimizerKind> ParseOptimizerKind(std::string_view name);

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double learning_rate = 1e-3;       // peak of the schedule, for AdamW; above 0
  double muon_learning_rate = 0;     // peak, for Muon; 0: learning_rate (Muon's updates have AdamW's size)
  double beta1 = 0.9, beta2 = 0.95;  // of AdamW's moments; from 0 to below 1
  double epsilon = 1e-8;             // above 0
  double weight_decay = 0.1;         // decoupled; none on norms and biases
  double muon_momentum = 0.95;       // from 0 to below 1
  double clip_norm = 1.0;            // upper limit of the norm of all gradients together; 0: no clipping

  // kInvalidArgument names the option, its value and the range.
  Status Validate() const;
};

// One tensor of the optimiser's state, for checkpoints.
struct OptimizerTensor {
  std::string name;  // the parameter's name and ".exp_avg", ".exp_avg_sq" or ".momentum"
  std::span<float> values;
  size_t rows, cols;
};

// Owns the moments, but neither weights nor gradients. Results are bit-identical for any number of threads.
//
// AdamW (arXiv:1711.05101): kernels/optimizer.h. Muon (Jordan et al. 2024, with the scale of Moonlight,
// arXiv:2502.16982), for each matrix W [rows, cols] with clipped gradient g:
//   M = momentum * M + g,  U = g + momentum * M
//   O = NewtonSchulz(U)   (about the nearest matrix with orthogonal rows or columns)
//   W = (1 - lr * decay) * W - lr * 0.2 * sqrt(max(rows, cols)) * O
class Optimizer {
 public:
  // `gradients` must be those of `parameters`. All must outlive this object.
  Optimizer(const ParameterSet& parameters, const Gradients& gradients, const OptimizerOptions& options,
            ThreadPool& threads);

  // The Euclidean norm of all gradients together.
  double GradientNorm();
  // Updates the weights; the gradients stay unchanged. `factor` (ScheduleFactor) scales the learning rates.
  // `gradient_norm` (GradientNorm) determines the clipping. Allocates nothing after the first step.
  void Step(double factor, double gradient_norm);

  // Steps taken. Part of the state: bias correction needs it.
  uint64_t num_steps() const { return num_steps_; }
  void set_num_steps(uint64_t steps) { num_steps_ = steps; }
  // Moments and momenta by name, zero before the first step.
  const std::vector<OptimizerTensor>& state() const { return state_; }
  size_t state_bytes() const { return (first_.size() + second_.size()) * sizeof(float); }

 private:
  // Consecutive parameters that AdamW treats alike, as one range of memory.
  struct AdamWRun {
    float* weight;
    const float* grad;
    float* m;
    float* v;
    size_t size;
    bool decays;
  };
  struct MuonMatrix {
    Parameter parameter;
    const float* grad;
    float* momentum;
  };

  void StepMuon(const MuonMatrix& matrix, double learning_rate, float grad_scale);

  const OptimizerOptions options_;
  ThreadPool& threads_;
  const std::span<const float> gradients_;
  AlignedBuffer<float> first_;   // AdamW's first moments, Muon's momenta; one number per weight
  AlignedBuffer<float> second_;  // AdamW's second moments
  std::vector<AdamWRun> adamw_;
  std::vector<MuonMatrix> muon_;
  std::vector<OptimizerTensor> state_;
  std::vector<double> partials_;
  uint64_t num_steps_ = 0;

  NewtonSchulz newton_schulz_;
};

}  // namespace qwen25
