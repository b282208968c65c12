#include "ops/weight_product.h"

#include "kernels/quant_gemm.h"

namespace qwen25 {

void WeightProduct(Execution& execution, MatrixView<const float> x, const Parameter& weight,
                   const GemmOutput& out) {
  const size_t n = weight.rows, k = weight.cols;
  if (!weight.packed) {
    Gemm(execution.threads, execution.scratch, x.rows, n, k, GemmOperand::Plain(x),
         GemmOperand::Transposed(weight.view()), out);
  } else if (!IsQuantized(weight.packed.format)) {
    GemmPacked(execution.threads, execution.scratch, x.rows, n, k, GemmOperand::Plain(x),
               {weight.packed.data, FloatDTypeOf(weight.packed.format)}, out);
  } else {
    const QuantCode code = QuantCodeOf(weight.packed.format);
    float* memory = execution.scratch.Shared(QuantRowsFloats(x.rows, k));
    QuantGemm(execution.threads, QuantizeRows(execution.threads, x, code, memory), code,
              reinterpret_cast<const uint8_t*>(weight.packed.data), n, out);
  }
}

}  // namespace qwen25
