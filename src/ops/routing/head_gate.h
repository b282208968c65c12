// Head routing: per token, a learned gate chooses which groups of query heads run (Mixture-of-Head attention,
// arXiv:2410.11842).
//
// Letters: T = tokens, K = kv heads, D = head_dim. A group is the query heads of one kv head, so that a group
// that does not run reads no keys and values. The first S = shared_groups always run; of the R = K - S
// others, each token runs the top_k with the greatest gate logits. With gate logits z [K + 2] of a token,
//   q = softmax(z[0..S)), p = softmax(z[S..K)), a = softmax(z[K..K+2))
//   weight of group i:  2 a_0 S q_i  if shared,  2 a_1 R p_i  if it is among the top_k,  otherwise 0
// and the group's output is multiplied by its weight. The factors 2, S and R, which the paper leaves to the
// output projection, make all weights 1 if the gate is undecided. Of equal logits, the lower group runs. Keys
// and values are computed for every group, since later tokens may choose it.
//
// So that all groups are learned, training adds balance_loss * sum_i f_i * mean_t p_i per layer, where f_i is
// the part of a batch's tokens that chose routed group i (the paper's load-balance loss).
#pragma once

#include <cstdint>

#include "base/status.h"
#include "ops/execution.h"
#include "tensor/tensor.h"

namespace qwen25 {

struct HeadRouting {
  uint32_t shared_groups = 1;  // 1 to K - 1
  uint32_t top_k = 1;          // 1 to K - shared_groups
  float balance_loss = 0.01f;  // 0 and more

  // For a model with `num_kv_heads` kv heads. Errors name field, value and range.
  Status Validate(uint32_t num_kv_heads) const;
  // Part of the groups that run for a token.
  double RunningShare(uint32_t num_kv_heads) const {
    return static_cast<double>(shared_groups + top_k) / num_kv_heads;
  }

  bool operator==(const HeadRouting&) const = default;
};

// Rows of the gate's weight: a logit for each group, and two for the balance between shared and routed ones.
constexpr size_t HeadGateRows(size_t num_kv_heads) {
  return num_kv_heads + 2;
}

// weights [T, K] from logits [T, K + 2]; 0: the group does not run for this token. Backward adds to the
// gradient of `logits`, with that of `balance_scale` * sum over tokens of sum_i f_i p_i.
Tensor HeadGate(Execution& execution, const HeadRouting& routing, const Tensor& logits, float balance_scale);

// out [T, K G D] = x [T, K G D], each group's G D columns times its weight [T, K].
Tensor WeighHeads(Execution& execution, const Tensor& x, const Tensor& weights);

}  // namespace qwen25
