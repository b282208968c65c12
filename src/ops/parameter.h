// A trained matrix or vector.
#pragma once

#include <cstddef>

#include "quant/packed_weight.h"
#include "tensor/view.h"

namespace qwen25 {

// [rows, cols] float32, row-major; a vector has one row. `grad` has the same shape, is null where no gradient
// is wanted, is zeroed by the caller once per step, and backward ops add to it.
struct Parameter {
  float* data = nullptr;
  float* grad = nullptr;
  size_t rows = 0;
  size_t cols = 0;
  PackedWeight packed;  // inference: what products read instead of `data`, which may then be null

  MatrixView<const float> view() const { return {data, rows, cols}; }
  MatrixView<float> grad_view() const { return {grad, rows, cols}; }
};

}  // namespace qwen25
