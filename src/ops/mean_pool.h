// One vector per sequence.
#pragma once

#include <cstdint>
#include <span>

#include "ops/execution.h"
#include "tensor/tensor.h"

namespace qwen25 {

// out [S, D]: row s is the mean of rows sequence_starts[s] to sequence_starts[s + 1] of x [T, D]; zeros where
// there are none. `sequence_starts` [S + 1] ascends from 0 to T and must outlive the tape.
Tensor MeanPool(Execution& execution, const Tensor& x, std::span<const int32_t> sequence_starts);

}  // namespace qwen25
