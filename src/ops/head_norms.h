// Norms of the query and key heads of one attention layer, as Qwen3 has them.
#pragma once

#include <cstddef>

#include "ops/execution.h"
#include "ops/parameter.h"
#include "tensor/tensor.h"

namespace qwen25 {

struct HeadCounts {
  size_t query = 0;      // H
  size_t key_value = 0;  // K
};

// Normalises every query head and every key head of qkv [T, (H + 2 K) * D] as RmsNorm (ops.h) does a row, by
// q_weight and k_weight [1, D], which all heads share; value heads pass unchanged. Without a tape, `qkv` is
// overwritten and returned: nothing else may read it. The gradient of the values is the gradient of the
// output: it changes hands without a copy, so that qkv must have no other consumer.
Tensor NormalizeHeads(Execution& execution, Tensor qkv, HeadCounts heads, const Parameter& q_weight,
                      const Parameter& k_weight, float eps);

}  // namespace qwen25
