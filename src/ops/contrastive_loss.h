// The loss that makes the two texts of a pair neighbours.
#pragma once

#include "ops/execution.h"
#include "ops/ops.h"
#include "tensor/tensor.h"

namespace qwen25 {

// Symmetric InfoNCE with in-batch negatives (arXiv:1807.03748; both directions as in arXiv:2103.00020) over
// P >= 2 pairs: rows 2 i and 2 i + 1 of x [2 P, D] are the query and the passage of pair i.
//
//   u = x / |x| (zero rows stay zero),  s[i,j] = u[2 i] . u[2 j + 1] / temperature
//   sum = sum_i -1/2 (log softmax_j s[i,j] at j = i  +  log softmax_j s[j,i] at j = i)
//
// With a tape it also adds the gradient of grad_scale * sum to x; 1 / P makes that the gradient of the mean.
// Holds 2 P^2 numbers. The result counts the pairs as its tokens.
LossSum ContrastiveLoss(Execution& execution, const Tensor& x, float temperature, float grad_scale);

}  // namespace qwen25
