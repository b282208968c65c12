// Orthogonalises a matrix by matrix products alone, for Muon.
#pragma once

#include <cstddef>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/gemm.h"
#include "kernels/scratch.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// Turns X = U S V^T into about U V^T, with singular values between about 0.7 and 1.2. Scales X to unit
// Frobenius norm and takes five steps
//   X = X (a I + b G + c G^2),  G = X^T X,
// or, if X X^T is smaller, multiplies with it from the left. (a, b, c) = (3.4445, -4.7750, 2.0315) are from
// Jordan et al. (2024), chosen to raise small singular values fast.
//
// The steps only need G: polynomials of G are symmetric and commute, so with P = a I + b G + c G^2 a step is
// G = P G P, Q = Q P, and X Q is computed once at the end. Of symmetric products only the lower triangle is
// computed. A matrix three times as long as wide takes 47 % of the operations; float32 results differ by a
// relative 1e-4 or so.
class NewtonSchulz {
 public:
  // For matrices of up to `max_numbers` elements whose shorter side is at most `max_side`.
  NewtonSchulz(ThreadPool& threads, size_t max_numbers, size_t max_side);

  // The buffer that the caller fills with the matrix, row-major, before Run().
  float* input() const { return x_.data(); }
  // Orthogonalises input() [rows, cols], overwriting it, and returns the result [rows, cols], valid until the
  // next Run(). A zero matrix gives zeros. Allocates nothing after the first run of a shape.
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
