// Low-rank updates of weights (LoRA adapters), applied beside the weights and not in them.
//
// Letters: T = tokens in the batch, R = rows that use the update, M = inputs, N = outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "ops/execution.h"
#include "tensor/aligned_buffer.h"
#include "tensor/tensor.h"
#include "tensor/view.h"

namespace qwen25 {

// weight[first_row + n, m] += sum_r up[n, r] * down[r, m].
struct LowRankFactors {
  size_t first_row = 0;
  MatrixView<const float> up;    // [rows, rank]
  MatrixView<const float> down;  // [rank, M]
};

// What is added to one product x * weight^T: the sum of factors, which may change different rows of the
// weight (those of q, k and v in a fused matrix) or the same ones (several adapters). Immutable; owns its
// memory.
class LowRankUpdate {
 public:
  // Changes nothing.
  LowRankUpdate() = default;
  // Copies the factors, all with the same M, into the layout that products read.
  LowRankUpdate(ThreadPool& threads, std::span<const LowRankFactors> factors);

  bool empty() const { return parts_.empty(); }

  // out[t] += the update of x[t] for the rows t of `rows`, which ascend; x [T, M], out [T, N]. A row gets the
  // same bits whatever other rows there are. For inference: without a tape.
  void AddTo(Execution& execution, const Tensor& x, std::span<const int32_t> rows, const Tensor& out) const;

 private:
  struct Part {
    size_t first_row, num_rows, first_rank, rank;
    AlignedBuffer<float> up;  // transposed and packed
  };

  std::vector<Part> parts_;
  size_t num_inputs_ = 0, rank_ = 0;  // of all parts together
  AlignedBuffer<float> down_;         // of all parts, transposed and packed
};

// The same for an embedding, of which a token picks a row: out[t] += up[tokens[t]] * down.
class LowRankEmbedding {
 public:
  LowRankEmbedding() = default;
  // Copies the factors, which change all rows.
  LowRankEmbedding(ThreadPool& threads, std::span<const LowRankFactors> factors);

  bool empty() const { return parts_.empty(); }

  // For the rows of `rows`, as above; tokens [T] are below the number of rows, out [T, M].
  void AddTo(Execution& execution, std::span<const int32_t> tokens, std::span<const int32_t> rows,
             const Tensor& out) const;

 private:
  struct Part {
    size_t rank, width;
    AlignedBuffer<float> up;    // [rows, rank]
    AlignedBuffer<float> down;  // packed
  };

  std::vector<Part> parts_;
};

}  // namespace qwen25
