#include "ops/mean_pool.h"

#include <algorithm>

#include "ops/row_tasks.h"

namespace qwen25 {
namespace {

// x's rows of sequence s.
struct RowRange {
  size_t begin, end;
};
RowRange RowsOf(std::span<const int32_t> starts, size_t s) {
  return {static_cast<size_t>(starts[s]), static_cast<size_t>(starts[s + 1])};
}

struct MeanPoolRecord {
  Tensor x, out;
  std::span<const int32_t> starts;

  // dx[t] = dout[s] / rows of s, for every t of s.
  void Backward(Execution& execution) {
    const bool add = !x.MakeGrad();
    ForRows(execution.threads, out.rows(), [&](size_t first, size_t last, size_t) {
      for (size_t s = first; s < last; ++s) {
        const auto [begin, end] = RowsOf(starts, s);
        const float scale = 1.0f / static_cast<float>(std::max<size_t>(1, end - begin));
        const float* from = out.grad_view().Row(s);
        for (size_t t = begin; t < end; ++t) {
          float* to = x.grad_view().Row(t);
          for (size_t d = 0; d < x.cols(); ++d) to[d] = (add ? to[d] : 0.0f) + scale * from[d];
        }
      }
    });
    out.FreeGrad();
  }
};

}  // namespace

Tensor MeanPool(Execution& execution, const Tensor& x, std::span<const int32_t> sequence_starts) {
  QWEN25_CHECK(!sequence_starts.empty() && sequence_starts.front() == 0 &&
               static_cast<size_t>(sequence_starts.back()) == x.rows());
  Tensor out = execution.tensors.New(sequence_starts.size() - 1, x.cols());
  ForRows(execution.threads, out.rows(), [&](size_t first, size_t last, size_t) {
    for (size_t s = first; s < last; ++s) {
      const auto [begin, end] = RowsOf(sequence_starts, s);
      QWEN25_CHECK(begin <= end);
      float* row = out.view().Row(s);
      std::fill_n(row, x.cols(), 0.0f);
      for (size_t t = begin; t < end; ++t) {
        for (size_t d = 0; d < x.cols(); ++d) row[d] += x.view().Row(t)[d];
      }
      const float scale = 1.0f / static_cast<float>(std::max<size_t>(1, end - begin));
      for (size_t d = 0; d < x.cols(); ++d) row[d] *= scale;
    }
  });
  if (execution.tape != nullptr) execution.tape->Push(MeanPoolRecord{x, out, sequence_starts});
  return out;
}

}  // namespace qwen25
