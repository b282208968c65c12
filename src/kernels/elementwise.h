// The row kernels between the matrix products. Each handles rows [begin, end) of its matrices, so that ops
// share rows among threads; a row's result depends on nothing but the row.
//
// Letters: T = rows (tokens), D = model width, F = feed-forward width, V = vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/view.h"

namespace qwen25 {

// y[t,d] = x[t,d] * r[t] * weight[d], r[t] = 1 / sqrt(eps + mean_d x[t,d]^2), saved for backward (may be
// null).
void RmsNormRows(MatrixView<const float> x, const float* weight, float eps, size_t begin, size_t end,
                 MatrixView<float> y, float* r);

// dx[t,d] (+)= r * (weight[d] * dy[t,d] - x[t,d] * r^2 * c), c = mean_d (weight * dy * x)[t,d]; added if
// `add` is true, else overwritten. dweight[d] += sum over the rows of dy[t,d] * x[t,d] * r[t].
void RmsNormBackwardRows(MatrixView<const float> dy, MatrixView<const float> x, const float* weight,
                         const float* r, size_t begin, size_t end, bool add, MatrixView<float> dx,
                         float* dweight);

// y[t,f] = silu(g) * u, g = gate_up[t,f], u = gate_up[t, F + f], silu(g) = g / (1 + exp(-g)).
void SwiGluRows(MatrixView<const float> gate_up, size_t begin, size_t end, MatrixView<float> y);

// dgate_up = [dy * u * s * (1 + g * (1 - s)), dy * g * s], s = 1 / (1 + exp(-g)).
void SwiGluBackwardRows(MatrixView<const float> dy, MatrixView<const float> gate_up, size_t begin, size_t end,
                        MatrixView<float> dgate_up);

// -log softmax(logits[t])[target] for one row of V logits. With `dlogits_scale` not zero the row is replaced
// by its gradient, dlogits_scale * (softmax(row) - onehot(target)); with 0 it is kept.
double CrossEntropyRow(float* logits, size_t num_logits, int32_t target, float dlogits_scale);

// total[c] += sum over all rows of x[t, c], for columns [begin, end), rows in ascending order.
void AddColumnSums(MatrixView<const float> x, size_t begin, size_t end, float* total);

// The index of the greatest of `count` >= 1 numbers, the first of equal ones. A NaN is smaller than every
// number; if all are NaN, 0.
size_t ArgMax(const float* x, size_t count);

// The greatest number of each run of kMaximaRun, and of the rest: maxima[i / kMaximaRun]. A NaN counts as
// minus infinity.
inline constexpr size_t kMaximaRun = 64;
void RunMaxima(const float* x, size_t count, float* maxima);

// y[i] += x[i], or y[i] = x[i] if `add` is false.
void AddOrCopy(const float* x, size_t count, bool add, float* y);

}  // namespace qwen25
