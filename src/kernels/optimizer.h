// The arithmetic of the optimisers, over flat memory. Every function works in chunks of kOptimizerChunk
// numbers whose results do not depend on which thread ran them, so they are bit-identical for any number of
// threads.
#pragma once

#include <cstddef>
#include <span>

#include "base/thread_pool.h"

namespace qwen25 {

// Numbers per task: 64 KiB of each array, so that the four arrays of AdamW fit the second-level cache.
inline constexpr size_t kOptimizerChunk = 16384;
constexpr size_t NumOptimizerChunks(size_t n) {
  return (n + kOptimizerChunk - 1) / kOptimizerChunk;
}

// One AdamW step (arXiv:1711.05101) on n numbers, g = grad * grad_scale:
//   w *= 1 - learning_rate * weight_decay
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
//   w -= learning_rate * (m / correction1) / (sqrt(v / correction2) + epsilon),  correctionI = 1 - betaI^step
struct AdamWStep {
  double learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double correction1 = 1, correction2 = 1;
  float grad_scale = 1;  // clipping, fused
};
void AdamWUpdate(ThreadPool& threads, const AdamWStep& step, size_t n, float* weight, const float* grad,
                 float* m, float* v);

// Muon's momentum: momentum = beta * momentum + g, update = g + beta * momentum (Nesterov), g = grad *
// grad_scale.
void MomentumUpdate(ThreadPool& threads, float beta, float grad_scale, size_t n, const float* grad,
                    float* momentum, float* update);

// y = scale_y * y + scale_x * x.
void ScaleAdd(ThreadPool& threads, size_t n, float scale_y, float* y, float scale_x, const float* x);

// Sum of x^2, in double: partial sums of chunks, added in ascending order. `partials` has room for
// NumOptimizerChunks(n) numbers.
double SumOfSquares(ThreadPool& threads, size_t n, const float* x, std::span<double> partials);

}  // namespace qwen25
