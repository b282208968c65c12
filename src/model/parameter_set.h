// The parameters that are trained together, and their gradients.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "ops/parameter.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// How an optimiser treats a parameter.
enum class ParameterKind {
  kMatrix,     // weight of a hidden layer: decays, and may be orthogonalised (Muon)
  kEmbedding,  // embedding, output projection or head gate: decays
  kVector,     // norm or bias: never decays
};

// A parameter under its name in official checkpoints. Fused matrices (q, k, v; gate, up) appear as their
// parts: slices of rows of one storage.
struct NamedParameter {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  ParameterKind kind = ParameterKind::kMatrix;
  Parameter parameter;
  bool is_vector = false;  // shape [cols] in a file, not [1, cols]
};

// Named parameters whose weights lie in one block of memory: those of a model, or those trained beside a
// frozen model. Optimiser, clipping, zeroing and checkpoints iterate over it. Movable; weights keep their
// addresses.
class ParameterSet {
 public:
  ParameterSet() = default;
  // Zeroed memory for num_weights weights, without parameters yet.
  explicit ParameterSet(size_t num_weights);

  // Each parameter must lie in weights(), or have no memory (packed matrices).
  void SetParameters(std::vector<NamedParameter> parameters) { parameters_ = std::move(parameters); }

  // Every parameter once, in the order of the storage.
  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  // All weights, back to back; there may be zeros of padding between two parameters.
  std::span<float> weights() const { return {weights_.data(), weights_.size()}; }

 private:
  AlignedBuffer<float> weights_;
  std::vector<NamedParameter> parameters_;
};

// The gradients of a set's weights, in the same layout.
class Gradients {
 public:
  // All zero. The set must outlive this object.
  explicit Gradients(const ParameterSet& set);

  std::span<float> values() const { return {values_.data(), values_.size()}; }
  // The gradient of one parameter of the set.
  float* Of(const Parameter& parameter) const { return values_.data() + (parameter.data - range_.weights); }
  // For Execution::gradients.
  std::span<const GradientRange> ranges() const { return {&range_, 1}; }
  void Zero(ThreadPool& threads) const;

 private:
  AlignedBuffer<float> values_;
  GradientRange range_;
};

// A number that is not finite: its parameter, index within the parameter, and value.
struct NotFinite {
  std::string name;
  size_t element;
  float value;
};
// The first number that is not finite among `values`, which are the set's weights or gradients.
std::optional<NotFinite> FindNotFinite(const ParameterSet& set, std::span<const float> values);

}  // namespace qwen25
