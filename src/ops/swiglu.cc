#include "kernels/elementwise.h"
#include "ops/ops.h"
#include "ops/row_tasks.h"

namespace qwen25 {
namespace {

struct SwiGluRecord {
  Tensor gate_up, out;

  void Backward(Execution& execution) {
    QWEN25_CHECK(gate_up.MakeGrad());  // nothing else reads gate_up
    ForRows(execution.threads, out.rows(), [&](size_t begin, size_t end, size_t) {
      SwiGluBackwardRows(out.grad_view(), gate_up.view(), begin, end, gate_up.grad_view());
    });
    out.FreeGrad();
  }
};

}  // namespace

Tensor SwiGlu(Execution& execution, const Tensor& gate_up) {
  QWEN25_CHECK(gate_up.cols() % 2 == 0);
  Tensor out = execution.tensors.New(gate_up.rows(), gate_up.cols() / 2);
  ForRows(execution.threads, out.rows(),
          [&](size_t begin, size_t end, size_t) { SwiGluRows(gate_up.view(), begin, end, out.view()); });
  if (execution.tape != nullptr) execution.tape->Push(SwiGluRecord{gate_up, out});
  return out;
}

}  // namespace qwen25
