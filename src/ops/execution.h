// What every op runs on.
#pragma once

#include "base/thread_pool.h"
#include "kernels/scratch.h"
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
};

}  // namespace qwen25
