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

// What an optimiser may do with a parameter.
enum class ParameterKind {
  kMatrix,     // weight of a hidden layer: decays, and may be orthogonalised (Muon)
  kEmbedding,  // embedding or output projection: decays
  kVector,     // norm or bias: never decays
};

// A parameter under the name that official checkpoints give it. Fused matrices (q, k, v; gate, up) appear as
// their parts: slices of rows of one storage.
struct NamedParameter {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  ParameterKind kind = ParameterKind::kMatrix;
  Parameter parameter;
  bool is_vector = false;  // shape [cols] in a file, not [1, cols]
};

// Parameters with names, whose weights lie in one block of memory: a model's, or those that are trained
// beside a model whose own are frozen. Optimiser, clipping, zeroing and checkpoints walk it. Movable; weights
// keep their addresses.
class ParameterSet {
 public:
  ParameterSet() = default;
  // Memory for num_weights weights, zero, that has no names yet.
  explicit ParameterSet(size_t num_weights);

  // Each lies in weights(), or has no memory at all if it is packed.
  void SetParameters(std::vector<NamedParameter> parameters) { parameters_ = std::move(parameters); }

  // Every parameter once, in the order of the storage.
  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  // All weights, end to end; between two parameters may be some zeros.
  std::span<float> weights() const { return {weights_.data(), weights_.size()}; }

 private:
  AlignedBuffer<float> weights_;
  std::vector<NamedParameter> parameters_;
};

// The gradients of a set's weights, in one block of memory with the layout of the weights.
class Gradients {
 public:
  // All zero. The set must outlive this object.
  explicit Gradients(const ParameterSet& set);

  std::span<float> values() const { return {values_.data(), values_.size()}; }
  // Of one parameter of the set.
  float* Of(const Parameter& parameter) const { return values_.data() + (parameter.data - range_.weights); }
  // For Execution::gradients.
  std::span<const GradientRange> ranges() const { return {&range_, 1}; }
  void Zero(ThreadPool& threads) const;

 private:
  AlignedBuffer<float> values_;
  GradientRange range_;
};

// The first parameter of the set with a number that is not finite among `values`, its weights or gradients.
struct NotFinite {
  std::string name;
  size_t element;
  float value;
};
std::optional<NotFinite> FindNotFinite(const ParameterSet& set, std::span<const float> values);

}  // namespace qwen25
