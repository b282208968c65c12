#include "ops/contrastive_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/gemm.h"
#include "ops/row_tasks.h"

namespace qwen25 {
namespace {

// A column, or row, of scores: log sum_i exp(scores[i * stride]).
double LogSumExp(const float* scores, size_t count, size_t stride) {
  double largest = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < count; ++i) largest = std::max<double>(largest, scores[i * stride]);
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::exp(scores[i * stride] - largest);
  return largest + std::log(sum);
}

// The rows 2 i + side of x as one matrix.
MatrixView<float> Side(const Tensor& x, size_t side) {
  return {x.data() + side * x.cols(), x.rows() / 2, x.cols(), 2 * x.cols()};
}

// unit = x / |x|, norms = |x|.
void Normalize(Execution& execution, const Tensor& x, const Tensor& unit, const Tensor& norms) {
  ForRows(execution.threads, x.rows(), [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      const float* row = x.view().Row(i);
      double square = 0;
      for (size_t d = 0; d < x.cols(); ++d) square += double{row[d]} * row[d];
      const double norm = std::sqrt(square);
      norms.data()[i] = static_cast<float>(norm);
      for (size_t d = 0; d < x.cols(); ++d) {
        unit.view().Row(i)[d] = norm > 0 ? static_cast<float>(row[d] / norm) : 0.0f;
      }
    }
  });
}

// dx += (du - u (u . du)) / |x|, the derivative of u = x / |x|.
void AddNormalizeBackward(Execution& execution, const Tensor& unit, const Tensor& norms,
                          const Tensor& unit_grad, const Tensor& x) {
  const bool add = !x.MakeGrad();
  ForRows(execution.threads, x.rows(), [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      const float *u = unit.view().Row(i), *du = unit_grad.view().Row(i), norm = norms.data()[i];
      double along = 0;
      for (size_t d = 0; d < x.cols(); ++d) along += double{u[d]} * du[d];
      float* dx = x.grad_view().Row(i);
      for (size_t d = 0; d < x.cols(); ++d) {
        const double grad = norm > 0 ? (du[d] - u[d] * along) / norm : 0;
        dx[d] = (add ? dx[d] : 0.0f) + static_cast<float>(grad);
      }
    }
  });
}

}  // namespace

LossSum ContrastiveLoss(Execution& execution, const Tensor& x, float temperature, float grad_scale) {
  QWEN25_CHECK(x.rows() >= 4 && x.rows() % 2 == 0 && temperature > 0);
  const size_t pairs = x.rows() / 2, width = x.cols();
  const Tensor unit = execution.tensors.New(x.rows(), width), norms = execution.tensors.New(x.rows(), 1);
  Normalize(execution, x, unit, norms);
  const MatrixView<float> queries = Side(unit, 0), passages = Side(unit, 1);
  const Tensor scores = execution.tensors.New(pairs, pairs);
  Gemm(execution.threads, execution.scratch, pairs, pairs, width, GemmOperand::Plain(queries),
       GemmOperand::Transposed(passages), {.c = scores.view()});
  // log sum exp: [i] over the passages of query i, [pairs + j] over the queries of passage j; doubles.
  const Tensor sums_buffer = execution.tensors.New(2 * pairs, 2);
  auto* sums = reinterpret_cast<double*>(sums_buffer.data());
  ForRows(execution.threads, pairs, [&](size_t begin, size_t end, size_t) {
    float* first = scores.view().Row(begin);
    for (float* score = first; score < first + (end - begin) * pairs; ++score) *score /= temperature;
    for (size_t i = begin; i < end; ++i) sums[i] = LogSumExp(scores.view().Row(i), pairs, 1);
  });
  ForColumns(execution.threads, pairs, [&](size_t begin, size_t end) {
    for (size_t j = begin; j < end; ++j) sums[pairs + j] = LogSumExp(scores.data() + j, pairs, pairs);
  });
  LossSum loss{.sum = 0, .num_tokens = pairs};
  for (size_t i = 0; i < pairs; ++i) {
    loss.sum += (sums[i] + sums[pairs + i]) / 2 - scores.view().Row(i)[i];
  }
  if (execution.tape == nullptr) return loss;

  // Scores become their gradients: (softmax over the row + softmax over the column) / 2 - [i = j].
  const double scale = double{grad_scale} / temperature;
  ForRows(execution.threads, pairs, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      float* row = scores.view().Row(i);
      for (size_t j = 0; j < pairs; ++j) {
        const double share = (std::exp(row[j] - sums[i]) + std::exp(row[j] - sums[pairs + j])) / 2;
        row[j] = static_cast<float>(scale * (share - (i == j ? 1 : 0)));
      }
    }
  });
  const Tensor unit_grad = execution.tensors.New(x.rows(), width);
  Gemm(execution.threads, execution.scratch, pairs, width, pairs, GemmOperand::Plain(scores.view()),
       GemmOperand::Plain(passages), {.c = Side(unit_grad, 0)});
  Gemm(execution.threads, execution.scratch, pairs, width, pairs, GemmOperand::Transposed(scores.view()),
       GemmOperand::Plain(queries), {.c = Side(unit_grad, 1)});
  AddNormalizeBackward(execution, unit, norms, unit_grad, x);
  return loss;
}

}  // namespace qwen25
