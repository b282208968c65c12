// The product that Linear and CrossEntropy share.
#pragma once

#include "kernels/gemm.h"
#include "ops/execution.h"
#include "ops/parameter.h"

namespace qwen25 {

// out.c [R, N] = x [R, M] * weight [N, M]^T, and what `out` adds. Reads the packed weight if there is one,
// in its format: quantised weights quantise x on the fly.
void WeightProduct(Execution& execution, MatrixView<const float> x, const Parameter& weight,
                   const GemmOutput& out);

}  // namespace qwen25
