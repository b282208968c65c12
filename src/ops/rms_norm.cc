#include <algorithm>

#include "kernels/elementwise.h"
#include "ops/ops.h"
#include "ops/row_tasks.h"

namespace qwen25 {
namespace {

struct RmsNormRecord {
  Tensor x, r, out;  // r [T, 1]: the scale of each row
  Parameter weight;

  void Backward(Execution& execution) {
    const bool add = !x.MakeGrad();
    const size_t width = x.cols(), num_tasks = NumRowTasks(x.rows());
    // Every task of rows sums its part of dweight; the parts are then added in the order of the rows.
    float* parts = execution.scratch.Shared(num_tasks * width);
    ForRows(execution.threads, x.rows(), [&](size_t begin, size_t end, size_t) {
      float* part = parts + begin / kRowsPerTask * width;
      std::fill_n(part, width, 0.0f);
      RmsNormBackwardRows(out.grad_view(), x.view(), weight.data, r.data(), begin, end, add, x.grad_view(),
                          part);
    });
    if (float* dweight = execution.GradientOf(weight); dweight != nullptr) {
      ForColumns(execution.threads, width, [&](size_t begin, size_t end) {
        AddColumnSums({parts, num_tasks, width}, begin, end, dweight);
      });
    }
    out.FreeGrad();
  }
};

}  // namespace

Tensor RmsNorm(Execution& execution, const Tensor& x, const Parameter& weight, float eps) {
  QWEN25_CHECK(weight.rows == 1 && weight.cols == x.cols());
  Tensor out = execution.tensors.New(x.rows(), x.cols());
  Tensor r = execution.tensors.New(x.rows(), 1);
  ForRows(execution.threads, x.rows(), [&](size_t begin, size_t end, size_t) {
    RmsNormRows(x.view(), weight.data, eps, begin, end, out.view(), r.data());
  });
  if (execution.tape != nullptr) execution.tape->Push(RmsNormRecord{x, r, out, weight});
  return out;
}

}  // namespace qwen25
