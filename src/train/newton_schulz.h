// Orthogonalisation of a matrix by products alone, the heart of Muon.
#pragma once

#include <cstddef>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/gemm.h"
#include "kernels/scratch.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// Turns X = U S V^T into about U V^T: singular values end between about 0.7 and 1.2. Five steps
//   X = X (a I + b G + c G^2),  G = X^T X,
// (with X X^T from the left if that is smaller), from X of unit Frobenius norm. (a, b, c) =
// (3.4445, -4.7750, 2.0315) are those of Jordan et al. (2024), chosen to lift small singular values fast.
//
// The steps run on G alone: all polynomials of G commute and are symmetric, so with P = a I + b G + c G^2 a
// step is G = P G P, Q = Q P, and X Q comes once at the end. Only lower triangles are computed. For a matrix
// three times as long as wide that is 47 % of the operations; float32 results differ by some 1e-4 relative.
class NewtonSchulz {
 public:
  // Memory for matrices of up to `max_numbers` numbers whose shorter side is at most `max_side`.
  NewtonSchulz(ThreadPool& threads, size_t max_numbers, size_t max_side);

  // Where the caller puts the matrix, row-major, before Run().
  float* input() const { return x_.data(); }
  // Orthogonalises input() [rows, cols] and returns the result, valid until the next use. input() is
  // overwritten. A zero matrix gives zeros. Allocates nothing after the first run of a shape.
  const float* Run(size_t rows, size_t cols);

 private:
  void SymmetricProduct(size_t depth, const GemmOperand& a, const GemmOperand& b, MatrixView<float> c);

  ThreadPool& threads_;
  Scratch scratch_;
  AlignedBuffer<float> x_, result_;                               // [rows, cols]
  AlignedBuffer<float> gram_, polynomial_, product_, temporary_;  // [side, side]
  std::vector<double> partials_;
};

}  // namespace qwen25
