// Low-rank changes of a model's weights (LoRA adapters), as read from a file.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "model/config.h"
#include "model/parameter_set.h"

namespace qwen25 {

// A change of one matrix: weight[n, m] += sum_r up[n, r] * down[r, m].
struct AdapterMatrix {
  std::string parameter;    // "model.layers.0.self_attn.q_proj.weight"
  size_t rank = 0;          // at least 1
  std::vector<float> up;    // [rows of the weight, rank], with all scales
  std::vector<float> down;  // [rank, columns of the weight]
};

struct Adapter {
  std::string origin;  // its path, for messages
  std::vector<AdapterMatrix> matrices;

  // Null if it does not change the parameter.
  const AdapterMatrix* Find(std::string_view parameter) const;
};

// The matrices of a model that an adapter can change: embedding, q, k, v, o, gate, up, down and the output
// projection, which is among them even if it is tied to the embedding; in this order.
std::vector<NamedParameter> AdaptableParameters(const ModelConfig& config);

// kInvalidArgument, with wanted and found, unless each matrix is one of these, has its shape, and comes once.
Status CheckAdapterFits(const Adapter& adapter, const ModelConfig& config);

// A hash of what the adapters change and by how much; zeros if there are none.
Hash128 HashAdapters(std::span<const Adapter> adapters);

}  // namespace qwen25
