// AdamW and Muon over a set of parameters.
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
// kInvalidArgument lists the names there are.
Result<OptimizerKind> ParseOptimizerKind(std::string_view name);

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double learning_rate = 1e-3;    // peak, of AdamW
  double muon_learning_rate = 0;  // peak, of Muon; 0: the same (its updates are scaled to AdamW's size)
  double beta1 = 0.9, beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  // decoupled; never on norms and biases
  double muon_momentum = 0.95;
  double clip_norm = 1.0;  // largest norm of all gradients together; 0: no clipping

  Status Validate() const;
};

// One tensor of the optimiser's state, for checkpoints.
struct OptimizerTensor {
  std::string name;  // the parameter's name and ".exp_avg", ".exp_avg_sq" or ".momentum"
  std::span<float> values;
  size_t rows, cols;
};

// Owns the moments; weights and gradients are the caller's. Results are bit-identical for any number of
// threads.
//
// AdamW (arXiv:1711.05101): kernels/optimizer.h. Muon (Jordan et al. 2024; scale of Moonlight,
// arXiv:2502.16982), for each matrix W [rows, cols] of its own, g = clipped gradient:
//   M = momentum * M + g,  U = g + momentum * M
//   O = NewtonSchulz(U)   (about the nearest matrix with orthogonal rows or columns)
//   W = (1 - lr * decay) * W - lr * 0.2 * sqrt(max(rows, cols)) * O
class Optimizer {
 public:
  // All must outlive this object; `gradients` are of `parameters`.
  Optimizer(const ParameterSet& parameters, const Gradients& gradients, const OptimizerOptions& options,
            ThreadPool& threads);

  // Euclidean norm of all gradients together, by a sum of fixed shape.
  double GradientNorm();
  // One step from the gradients, which are left as they are. `factor` is the schedule's, on the
  // learning rates; `gradient_norm` decides how much is clipped. Allocates nothing after the first step.
  void Step(double factor, double gradient_norm);

  // Steps taken: part of the state, as bias correction needs it.
  uint64_t num_steps() const { return num_steps_; }
  void set_num_steps(uint64_t steps) { num_steps_ = steps; }
  // Moments and momenta by name, zero before the first step.
  const std::vector<OptimizerTensor>& state() const { return state_; }
  size_t state_bytes() const { return (first_.size() + second_.size()) * sizeof(float); }

 private:
  // Neighbouring parameters that AdamW treats alike, as one stretch of memory.
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
