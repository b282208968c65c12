#include "ops/encoder_ops.h"

#include "base/check.h"
#include "ops/row_tasks.h"

namespace qwen25 {

void LayerNormInPlace(Execution& execution, const Tensor& x, const Parameter& weight, const Parameter& bias,
                      float eps) {
  QWEN25_CHECK(execution.tape == nullptr);
  QWEN25_CHECK(weight.cols == x.cols() && bias.cols == x.cols());
  ForRows(execution.threads, x.rows(), [&](size_t begin, size_t end, size_t) {
    LayerNormRows(x.view(), weight.data, bias.data, eps, begin, end);
  });
}

void GeluInPlace(Execution& execution, const Tensor& x, Gelu kind) {
  QWEN25_CHECK(execution.tape == nullptr);
  ForRows(execution.threads, x.rows(),
          [&](size_t begin, size_t end, size_t) { GeluRows(x.view(), kind, begin, end); });
}

}  // namespace qwen25
