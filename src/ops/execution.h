// The threads and the memory that every op runs on.
#pragma once

#include <functional>
#include <span>

#include "base/thread_pool.h"
#include "kernels/scratch.h"
#include "ops/parameter.h"
#include "ops/tape.h"
#include "tensor/tensor.h"

namespace qwen25 {

// Training passes a tape, on which ops record what their backward needs; inference passes none and the same
// calls keep nothing.
struct Execution {
  ThreadPool& threads;
  TensorPool& tensors;
  Scratch& scratch;
  Tape* tape = nullptr;
  // Where backward adds the gradients of weights: a range per set of parameters that is trained. Weights in
  // none of them are frozen and cost no gradient.
  std::span<const GradientRange> gradients = {};

  // The gradient of a parameter or of a slice of one, in its shape; null if it is frozen.
  float* GradientOf(const Parameter& parameter) const {
    for (const GradientRange& range : gradients) {
      // Of pointers into different blocks of memory only std::less has an order.
      const std::less<const float*> less;
      if (!less(parameter.data, range.weights) && less(parameter.data, range.weights + range.size)) {
        return range.gradients + (parameter.data - range.weights);
      }
    }
    return nullptr;
  }
  MatrixView<float> GradientView(const Parameter& parameter) const {
    return {GradientOf(parameter), parameter.rows, parameter.cols};
  }
};

}  // namespace qwen25
