// A trained matrix or vector, and where its gradient goes.
#pragma once

#include <cstddef>

#include "quant/packed_weight.h"
#include "tensor/view.h"

namespace qwen25 {

// [rows, cols] float32, row-major; a vector has one row.
struct Parameter {
  float* data = nullptr;
  size_t rows = 0;
  size_t cols = 0;
  PackedWeight packed;  // inference: what products read instead of `data`, which may then be null

  size_t size() const { return rows * cols; }
  MatrixView<const float> view() const { return {data, rows, cols}; }
};

// The gradients of the weights in one stretch of memory: gradients[i] is that of weights[i]. The caller
// zeroes them once per step; backward ops add to them.
struct GradientRange {
  const float* weights = nullptr;
  size_t size = 0;
  float* gradients = nullptr;
};

}  // namespace qwen25
