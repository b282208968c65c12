#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "kernels/optimizer.h"

namespace qwen25 {
namespace {

constexpr double kMuonScale = 0.2;     // RMS of a typical AdamW update, to which Muon's are scaled
constexpr double kClipEpsilon = 1e-6;  // as in PyTorch's clip_grad_norm_

bool UsesMuon(const OptimizerOptions& options, const NamedParameter& named) {
  return options.kind == OptimizerKind::kMuon && named.kind == ParameterKind::kMatrix;
}

// The number of elements of all parameters that `use` selects.
template <typename Use>
size_t Count(const ParameterSet& set, Use use) {
  size_t count = 0;
  for (const NamedParameter& named : set.parameters()) count += use(named) ? named.parameter.size() : 0;
  return count;
}

AlignedBuffer<float> Zeros(size_t size) {
  AlignedBuffer<float> buffer(size);
  std::fill_n(buffer.data(), size, 0.0f);
  return buffer;
}

NewtonSchulz MakeNewtonSchulz(const ParameterSet& set, const OptimizerOptions& options, ThreadPool& threads) {
  size_t max_numbers = 0, max_side = 0;
  for (const NamedParameter& named : set.parameters()) {
    if (!UsesMuon(options, named)) continue;
    max_numbers = std::max(max_numbers, named.parameter.size());
    max_side = std::max(max_side, std::min(named.parameter.rows, named.parameter.cols));
  }
  return NewtonSchulz(threads, max_numbers, max_side);
}

Status CheckPositive(const char* name, double value) {
  if (value > 0 && std::isfinite(value)) return {};
  return InvalidArgument("{} is {}, expected a positive number", name, value);
}
Status CheckNotNegative(const char* name, double value) {
  if (value >= 0 && std::isfinite(value)) return {};
  return InvalidArgument("{} is {}, expected 0 or a positive number", name, value);
}
Status CheckBelowOne(const char* name, double value) {
  if (value >= 0 && value < 1) return {};
  return InvalidArgument("{} is {}, expected a number from 0 to below 1", name, value);
}

}  // namespace

std::string_view OptimizerKindName(OptimizerKind kind) {
  return kind == OptimizerKind::kMuon ? "muon" : "adamw";
}

Result<OptimizerKind> ParseOptimizerKind(std::string_view name) {
  for (const auto kind : {OptimizerKind::kAdamW, OptimizerKind::kMuon}) {
    if (OptimizerKindName(kind) == name) return kind;
  }
  return InvalidArgument("optimizer is \"{}\", expected \"adamw\" or \"muon\"", name);
}

Status OptimizerOptions::Validate() const {
  QWEN25_RETURN_IF_ERROR(CheckPositive("learning_rate", learning_rate));
  QWEN25_RETURN_IF_ERROR(CheckNotNegative("muon_learning_rate", muon_learning_rate));
  QWEN25_RETURN_IF_ERROR(CheckBelowOne("beta1", beta1));
  QWEN25_RETURN_IF_ERROR(CheckBelowOne("beta2", beta2));
  QWEN25_RETURN_IF_ERROR(CheckPositive("epsilon", epsilon));
  QWEN25_RETURN_IF_ERROR(CheckNotNegative("weight_decay", weight_decay));
  QWEN25_RETURN_IF_ERROR(CheckBelowOne("muon_momentum", muon_momentum));
  return CheckNotNegative("clip_norm", clip_norm);
}

Optimizer::Optimizer(const ParameterSet& parameters, const Gradients& gradients,
                     const OptimizerOptions& options, ThreadPool& threads)
    : options_(options),
      threads_(threads),
      gradients_(gradients.values()),
      first_(Zeros(Count(parameters, [](const NamedParameter&) { return true; }))),
      second_(
          Zeros(Count(parameters, [&](const NamedParameter& named) { return !UsesMuon(options, named); }))),
      partials_(NumOptimizerChunks(gradients_.size())),
      newton_schulz_(MakeNewtonSchulz(parameters, options, threads)) {
  QWEN25_CHECK(gradients_.size() == parameters.weights().size());
  float* first = first_.data();
  float* second = second_.data();
  for (const NamedParameter& named : parameters.parameters()) {
    const Parameter& parameter = named.parameter;
    const size_t size = named.parameter.size(), rows = parameter.rows, cols = parameter.cols;
    if (UsesMuon(options, named)) {
      muon_.push_back({parameter, gradients.Of(parameter), first});
      state_.push_back({named.name + ".momentum", {first, size}, rows, cols});
    } else {
      const bool decays = named.kind != ParameterKind::kVector;
      if (!adamw_.empty() && adamw_.back().decays == decays &&
          adamw_.back().m + adamw_.back().size == first &&
          adamw_.back().weight + adamw_.back().size == parameter.data) {
        adamw_.back().size += size;
      } else {
        adamw_.push_back({parameter.data, gradients.Of(parameter), first, second, size, decays});
      }
      state_.push_back({named.name + ".exp_avg", {first, size}, rows, cols});
      state_.push_back({named.name + ".exp_avg_sq", {second, size}, rows, cols});
      second += size;
    }
    first += size;
  }
}

double Optimizer::GradientNorm() {
  return std::sqrt(SumOfSquares(threads_, gradients_.size(), gradients_.data(), partials_));
}

void Optimizer::Step(double factor, double gradient_norm) {
  ++num_steps_;
  const double clip = options_.clip_norm;
  const double scale = clip > 0 ? std::min(1.0, clip / (gradient_norm + kClipEpsilon)) : 1.0;
  const auto steps = static_cast<double>(num_steps_);
  AdamWStep step = {.learning_rate = options_.learning_rate * factor,
                    .beta1 = options_.beta1,
                    .beta2 = options_.beta2,
                    .epsilon = options_.epsilon,
                    .correction1 = 1 - std::pow(options_.beta1, steps),
                    .correction2 = 1 - std::pow(options_.beta2, steps),
                    .grad_scale = static_cast<float>(scale)};
  for (const AdamWRun& run : adamw_) {
    step.weight_decay = run.decays ? options_.weight_decay : 0;
    AdamWUpdate(threads_, step, run.size, run.weight, run.grad, run.m, run.v);
  }
  const double muon_peak =
      options_.muon_learning_rate > 0 ? options_.muon_learning_rate : options_.learning_rate;
  for (const MuonMatrix& matrix : muon_) StepMuon(matrix, muon_peak * factor, static_cast<float>(scale));
}

void Optimizer::StepMuon(const MuonMatrix& matrix, double learning_rate, float grad_scale) {
  const Parameter& w = matrix.parameter;
  const size_t size = w.rows * w.cols;
  MomentumUpdate(threads_, static_cast<float>(options_.muon_momentum), grad_scale, size, matrix.grad,
                 matrix.momentum, newton_schulz_.input());
  const float* orthogonal = newton_schulz_.Run(w.rows, w.cols);
  const double scale = kMuonScale * std::sqrt(static_cast<double>(std::max(w.rows, w.cols)));
  ScaleAdd(threads_, size, static_cast<float>(1 - learning_rate * options_.weight_decay), w.data,
           static_cast<float>(-learning_rate * scale), orthogonal);
}

}  // namespace qwen25
