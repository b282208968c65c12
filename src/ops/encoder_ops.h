// The ops of post-norm encoders that a decoder does not have. They work in place, for inference only: with a
// tape they abort.
#pragma once

#include "kernels/encoder_rows.h"
#include "ops/execution.h"
#include "ops/parameter.h"
#include "tensor/tensor.h"

namespace qwen25 {

// Normalises the rows of x [T, D] (LayerNormRows); weight and bias [1, D].
void LayerNormInPlace(Execution& execution, const Tensor& x, const Parameter& weight, const Parameter& bias,
                      float eps);

// x = gelu(x), element by element.
void GeluInPlace(Execution& execution, const Tensor& x, Gelu kind);

}  // namespace qwen25
