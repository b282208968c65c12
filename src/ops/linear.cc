#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "ops/ops.h"
#include "ops/row_tasks.h"
#include "ops/weight_product.h"

namespace qwen25 {
namespace {

struct LinearRecord {
  Tensor x, residual, out;
  Parameter weight, bias;

  void Backward(Execution& execution) {
    const size_t num_rows = x.rows(), num_in = weight.cols, num_out = weight.rows;
    const GemmOperand dy = GemmOperand::Plain(out.grad_view());
    const bool add = !x.MakeGrad();
    // dx = dy * W
    Gemm(execution.threads, execution.scratch, num_rows, num_in, num_out, dy,
         GemmOperand::Plain(weight.view()), {.c = x.grad_view(), .accumulate = add});
    if (const MatrixView<float> dweight = execution.GradientView(weight); dweight.data != nullptr) {
      // dW += dy^T * x
      Gemm(execution.threads, execution.scratch, num_out, num_in, num_rows,
           GemmOperand::Transposed(out.grad_view()), GemmOperand::Plain(x.view()),
           {.c = dweight, .accumulate = true});
    }
    if (float* dbias = execution.GradientOf(bias); dbias != nullptr) {
      ForColumns(execution.threads, num_out,
                 [&](size_t begin, size_t end) { AddColumnSums(out.grad_view(), begin, end, dbias); });
    }
    if (residual) {
      residual.TakeGrad(out);
    } else {
      out.FreeGrad();
    }
  }
};

}  // namespace

Tensor Linear(Execution& execution, const Tensor& x, const Parameter& weight, const Parameter* bias,
              const Tensor* residual) {
  QWEN25_CHECK(x.cols() == weight.cols);
  QWEN25_CHECK(bias == nullptr || bias->cols == weight.rows);
  QWEN25_CHECK(residual == nullptr || (residual->rows() == x.rows() && residual->cols() == weight.rows));
  Tensor out = execution.tensors.New(x.rows(), weight.rows);
  WeightProduct(execution, x.view(), weight,
                {.c = out.view(),
                 .bias = bias == nullptr ? nullptr : bias->data,
                 .residual = residual == nullptr ? nullptr : residual->data(),
                 .residual_stride = weight.rows});
  if (execution.tape != nullptr) {
    execution.tape->Push(LinearRecord{x, residual == nullptr ? Tensor() : *residual, out, weight,
                                      bias == nullptr ? Parameter() : *bias});
  }
  return out;
}

}  // namespace qwen25
