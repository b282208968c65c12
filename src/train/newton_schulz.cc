#include "train/newton_schulz.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
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
      result_(max_numbers),
      gram_(max_side * max_side),
      polynomial_(max_side * max_side),
      product_(max_side * max_side),
      temporary_(max_side * max_side),
      partials_(NumOptimizerChunks(max_numbers)) {}

// c [n, n] = a [n, depth] * b [depth, n] if the product is known to be symmetric: computes block columns from
// the diagonal down, then mirrors them.
void NewtonSchulz::SymmetricProduct(size_t depth, const GemmOperand& a, const GemmOperand& b,
                                    MatrixView<float> c) {
  constexpr size_t kBlock = 2 * kGemmPanelCols;
  const size_t n = c.rows;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t cols = std::min(kBlock, n - begin);
    const GemmOperand rows_below = {a.data + begin * (a.transposed ? 1 : a.stride), a.stride, a.transposed};
    const GemmOperand these_cols = {b.data + begin * (b.transposed ? b.stride : 1), b.stride, b.transposed};
    Gemm(threads_, scratch_, n - begin, cols, depth, rows_below, these_cols,
         {.c = MatrixView<float>(c.Row(begin) + begin, n - begin, cols, c.stride)});
  }
  threads_.ParallelFor((n + kBlock - 1) / kBlock, [&](size_t block, size_t) {
    for (size_t i = block * kBlock; i < std::min(n, (block + 1) * kBlock); ++i) {
      for (size_t j = i + 1; j < n; ++j) c.Row(i)[j] = c.Row(j)[i];
    }
  });
}

const float* NewtonSchulz::Run(size_t rows, size_t cols) {
  const size_t n = rows * cols, side = std::min(rows, cols);
  QWEN25_CHECK(n <= x_.size() && side * side <= gram_.size());
  const MatrixView<float> x(x_.data(), rows, cols), result(result_.data(), rows, cols);
  const MatrixView<float> gram(gram_.data(), side, side), polynomial(polynomial_.data(), side, side);
  MatrixView<float> product(product_.data(), side, side), temporary(temporary_.data(), side, side);
  const double norm = std::sqrt(SumOfSquares(threads_, n, x.data, partials_));
  ScaleAdd(threads_, n, static_cast<float>(1 / (norm + kEpsilon)), x.data, 0, x.data);

  const GemmOperand x_plain = GemmOperand::Plain(x), x_transposed = GemmOperand::Transposed(x);
  const bool wide = rows <= cols;
  SymmetricProduct(wide ? cols : rows, wide ? x_plain : x_transposed, wide ? x_transposed : x_plain, gram);
  const auto multiply = [&](MatrixView<const float> a, MatrixView<const float> b, MatrixView<float> c) {
    SymmetricProduct(side, GemmOperand::Plain(a), GemmOperand::Plain(b), c);
  };
  for (int step = 0; step < kSteps; ++step) {
    multiply(gram, gram, polynomial);
    ScaleAdd(threads_, side * side, kC, polynomial.data, kB, gram.data);
    for (size_t i = 0; i < side; ++i) polynomial.Row(i)[i] += kA;
    if (step == 0) {
      std::copy_n(polynomial.data, side * side, product.data);
    } else {
      multiply(product, polynomial, temporary);
      std::swap(product, temporary);
    }
    if (step + 1 == kSteps) break;
    multiply(gram, polynomial, temporary);
    multiply(temporary, polynomial, gram);
  }
  const GemmOperand product_operand = GemmOperand::Plain(product);
  Gemm(threads_, scratch_, rows, cols, side, wide ? product_operand : x_plain,
       wide ? x_plain : product_operand, {.c = result});
  return result.data;
}

}  // namespace qwen25
