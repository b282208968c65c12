#include "train/newton_schulz.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "kernels/gemm.h"
#include "kernels/optimizer.h"

namespace qwen25 {
namespace {

constexpr int kSteps = 5;
constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;
constexpr double kEpsilon = 1e-7;  // keeps a zero matrix zero

}  // namespace

NewtonSchulz::NewtonSchulz(ThreadPool& threads, size_t max_numbers, size_t max_side)
    : threads_(threads),
      scratch_(threads.num_threads()),
      x_(max_numbers),
      next_(max_numbers),
      gram_(max_side * max_side),
      polynomial_(max_side * max_side),
      partials_(NumOptimizerChunks(max_numbers)) {}

const float* NewtonSchulz::Run(size_t rows, size_t cols) {
  const size_t n = rows * cols, side = std::min(rows, cols);
  QWEN25_CHECK(n <= x_.size() && side * side <= gram_.size());
  MatrixView<float> x(x_.data(), rows, cols), next(next_.data(), rows, cols);
  const MatrixView<float> gram(gram_.data(), side, side), polynomial(polynomial_.data(), side, side);
  const double norm = std::sqrt(SumOfSquares(threads_, n, x.data, partials_));
  ScaleAdd(threads_, n, static_cast<float>(1 / (norm + kEpsilon)), x.data, 0, x.data);

  for (int step = 0; step < kSteps; ++step) {
    const auto x_plain = GemmOperand::Plain(x), x_transposed = GemmOperand::Transposed(x);
    const auto gram_operand = GemmOperand::Plain(gram), polynomial_operand = GemmOperand::Plain(polynomial);
    if (rows <= cols) {
      Gemm(threads_, scratch_, side, side, cols, x_plain, x_transposed, {.c = gram});
    } else {
      Gemm(threads_, scratch_, side, side, rows, x_transposed, x_plain, {.c = gram});
    }
    // polynomial = a I + b A + c A^2, so that one product finishes the step.
    Gemm(threads_, scratch_, side, side, side, gram_operand, gram_operand, {.c = polynomial});
    ScaleAdd(threads_, side * side, kC, polynomial.data, kB, gram.data);
    for (size_t i = 0; i < side; ++i) polynomial.Row(i)[i] += kA;
    if (rows <= cols) {
      Gemm(threads_, scratch_, rows, cols, side, polynomial_operand, x_plain, {.c = next});
    } else {
      Gemm(threads_, scratch_, rows, cols, side, x_plain, polynomial_operand, {.c = next});
    }
    std::swap(x, next);
  }
  return x.data;
}

}  // namespace qwen25
