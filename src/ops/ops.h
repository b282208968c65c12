// The ops that a decoder is made of. Each computes its result and, if execution.tape is set, records its
// exact backward. Shapes that do not fit are bugs and abort.
//
// Letters: T = tokens in the batch, D = model width, F = feed-forward width, V = vocabulary, N x M = a
// weight.
#pragma once

#include <cstdint>
#include <span>

#include "ops/execution.h"
#include "ops/parameter.h"
#include "tensor/tensor.h"

namespace qwen25 {

// out[t] = table[tokens[t]]; table [V, D], out [T, D]. `tokens` must outlive the tape.
Tensor Embedding(Execution& execution, const Parameter& table, std::span<const int32_t> tokens);

// out[t,d] = x[t,d] * r[t] * weight[d], r[t] = 1 / sqrt(eps + mean_d x[t,d]^2). Source: arXiv:1910.07467.
Tensor RmsNorm(Execution& execution, const Tensor& x, const Parameter& weight, float eps);

// out [T, N] = x [T, M] * weight [N, M]^T + bias [N] + residual [T, N]; bias and residual may be absent.
// The gradient of the residual is the gradient of the output: it changes hands without a copy, so the
// residual must have no other consumer that ran earlier in backward order (in a pre-norm decoder it has
// none). A weight packed as float32 gives the bits of one that is not; quantised ones are for inference.
Tensor Linear(Execution& execution, const Tensor& x, const Parameter& weight, const Parameter* bias = nullptr,
              const Tensor* residual = nullptr);

// out [T, F] = silu(gate) * up, where gate_up [T, 2 F] holds the gate columns, then the up columns; silu(x) =
// x / (1 + exp(-x)). Source: arXiv:2002.05202.
Tensor SwiGlu(Execution& execution, const Tensor& gate_up);

// Runs segment(x) now without keeping what it would save, and again during backward. `segment` is copied onto
// the tape: a small lambda that captures references to what outlives the tape. One tensor in, one out, same
// shape.
template <typename Segment>
Tensor Recompute(Execution& execution, const Tensor& x, Segment segment);

// The output projection in the layouts of CrossEntropy's products. Packing reads the whole weight and takes
// as much memory for each of the two.
struct PackedHead {
  Tensor forward;   // for x * weight^T; empty if the weight itself is packed
  Tensor backward;  // for gradients * weight; empty without a tape
};
PackedHead PackHead(Execution& execution, const Parameter& weight);

// The loss of next-token prediction, fused with the output projection: the sum over the rows with target >= 0
// of -log softmax(x [T, D] * weight [V, D]^T)[target]. Never holds T x V numbers: it walks chunks of rows,
// and with a tape it computes the gradients of x and, unless that is frozen, of weight in the same walk.
//   targets [T]: -1 is ignored
//   grad_scale: the gradients are those of grad_scale * sum; one over the step's counted rows makes the sum
//   over its micro-batches the gradient of the mean
//   row_losses: [T] -log p of each row's target, 0 if it is ignored; or empty
//   packed: PackHead(execution, weight) of the weight as it is now, for several calls; or null
struct LossSum {
  double sum = 0;         // of -log p over the counted rows, in nats
  size_t num_tokens = 0;  // counted rows
};
LossSum CrossEntropy(Execution& execution, const Tensor& x, const Parameter& weight,
                     std::span<const int32_t> targets, float grad_scale, std::span<float> row_losses = {},
                     const PackedHead* packed = nullptr);

// ---------------------------------------------------------------------------------------------------------------

template <typename Segment>
struct RecomputeRecord {
  Tensor x, out;
  Segment segment;

  void Backward(Execution& execution) {
    const size_t position = execution.tape->position();
    const Tensor again = segment(execution, x);
    again.TakeGrad(out);
    execution.tape->BackwardTo(position, execution);
  }
};

template <typename Segment>
Tensor Recompute(Execution& execution, const Tensor& x, Segment segment) {
  if (execution.tape == nullptr) return segment(execution, x);
  Tape* tape = std::exchange(execution.tape, nullptr);
  Tensor out = segment(execution, x);
  execution.tape = tape;
  tape->Push(RecomputeRecord<Segment>{x, out, segment});
  return out;
}

}  // namespace qwen25
