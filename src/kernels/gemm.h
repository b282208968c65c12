// Dense float32 matrix products on our own threads.
//
// Why not a library: each element of the result is summed in one fixed order (blocks of kGemmBlockK products,
// each block a chain of fused multiply-adds in ascending order), whatever the other dimensions, the threads
// or the tiling are. This makes a sequence's numbers independent of the rest of its batch, and those of a
// training run independent of the number of threads (docs/design.md, "Numbers do not depend on company"). It
// costs no speed (docs/benchmarks.md, "Matrix products").
#pragma once

#include <cstddef>

#include "base/dtype.h"
#include "base/thread_pool.h"
#include "kernels/scratch.h"
#include "tensor/view.h"

namespace qwen25 {

inline constexpr size_t kGemmBlockK = 384;    // products per block of the fixed order of summation
inline constexpr size_t kGemmPanelCols = 32;  // columns of one packed panel

// A matrix as it lies in memory, or its transpose: element (i, j) is data[i * stride + j], or data[j * stride
// + i].
struct GemmOperand {
  const float* data;
  size_t stride;
  bool transposed;

  static GemmOperand Plain(MatrixView<const float> view) { return {view.data, view.stride, false}; }
  static GemmOperand Transposed(MatrixView<const float> view) { return {view.data, view.stride, true}; }
};

// Where a product goes: C = [C if accumulate] + A B + bias (one row for all) + residual.
struct GemmOutput {
  MatrixView<float> c;  // [M, N]
  bool accumulate = false;
  const float* bias = nullptr;      // [N]
  const float* residual = nullptr;  // [M, N], rows residual_stride apart; may be C itself
  size_t residual_stride = 0;
};

// A right-hand side in panels of kGemmPanelCols columns, 64-byte aligned: panel p holds element (i, 32 p + j)
// at (p * k + i) * 32 + j. float16 and bfloat16 numbers are widened as they are read and multiplied in
// float32.
struct PackedOperand {
  const void* data;
  DType dtype = DType::kF32;  // kF32, kF16 or kBF16
};

// Numbers of a [k, n] right-hand side in panels, the last one padded with zeros.
constexpr size_t PackedFloats(size_t k, size_t n) {
  return (n + kGemmPanelCols - 1) / kGemmPanelCols * kGemmPanelCols * k;
}

// Packs b [k, n] into `packed`, PackedFloats(k, n) floats, 64-byte aligned.
void PackRightHandSide(ThreadPool& threads, size_t k, size_t n, const GemmOperand& b, float* packed);

// out.c [m, n] = a [m, k] * b [k, n]. b is packed into scratch first, which pays from about 16 rows on.
void Gemm(ThreadPool& threads, Scratch& scratch, size_t m, size_t n, size_t k, const GemmOperand& a,
          const GemmOperand& b, const GemmOutput& out);

// The same with b already packed: bit-identical to Gemm, and reads b once for few rows.
void GemmPacked(ThreadPool& threads, Scratch& scratch, size_t m, size_t n, size_t k, const GemmOperand& a,
                const PackedOperand& b, const GemmOutput& out);

}  // namespace qwen25
