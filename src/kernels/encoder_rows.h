// The row kernels of post-norm encoders (BERT): LayerNorm and GELU, in place. Each handles rows [begin, end),
// so that ops share rows among threads; a row's result depends on nothing but the row. Forward only: encoders
// are not trained here.
//
// Letters: T = rows (tokens), D = width.
#pragma once

#include <cstddef>

#include "tensor/view.h"

namespace qwen25 {

// x[t,d] = (x[t,d] - m) * r * weight[d] + bias[d], m = mean_d x[t,d], r = 1 / sqrt(eps + mean_d (x[t,d] -
// m)^2). The variance is computed from the differences, so that a large mean costs no digits. Source:
// arXiv:1607.06450.
void LayerNormRows(MatrixView<float> x, const float* weight, const float* bias, float eps, size_t begin,
                   size_t end);

enum class Gelu {
  kErf,   // x * P(N(0,1) <= x) = x / 2 * (1 + erf(x / sqrt(2)))
  kTanh,  // x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))
};

// x[t,d] = gelu(x[t,d]). kErf: within 1e-7 of the exact value (times |x| beyond 1), and for x from -12 to 0
// within 5e-6 of it relatively. Source of both: arXiv:1606.08415.
void GeluRows(MatrixView<float> x, Gelu kind, size_t begin, size_t end);

}  // namespace qwen25
