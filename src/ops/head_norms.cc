#include "ops/head_norms.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/elementwise.h"
#include "ops/row_tasks.h"

namespace qwen25 {
namespace {

// The heads that are normalised lie side by side: first those of queries, then those of keys.
template <typename T>
MatrixView<T> HeadOf(MatrixView<T> qkv, size_t head, size_t head_dim) {
  return qkv.Cols(head * head_dim, (head + 1) * head_dim);
}

struct HeadNormsRecord {
  Tensor qkv, r, out;  // r [H + K, T]: the scales
  HeadCounts heads;
  Parameter q_weight, k_weight;

  // In place: every row is read before it is written.
  void Backward(Execution& execution) {
    qkv.TakeGrad(out);
    const size_t head_dim = q_weight.cols, num_rows = qkv.rows(), num_tasks = NumRowTasks(num_rows);
    // Every task of rows sums its part of the weights' gradients; the parts are then added in the order of
    // the rows.
    float* parts = execution.scratch.Shared(2 * num_tasks * head_dim);
    const MatrixView<float> q_parts(parts, num_tasks, head_dim);
    const MatrixView<float> k_parts(parts + num_tasks * head_dim, num_tasks, head_dim);
    ForRows(execution.threads, num_rows, [&](size_t begin, size_t end, size_t) {
      const size_t task = begin / kRowsPerTask;
      std::fill_n(q_parts.Row(task), head_dim, 0.0f);
      std::fill_n(k_parts.Row(task), head_dim, 0.0f);
      for (size_t head = 0; head < heads.query + heads.key_value; ++head) {
        const bool is_query = head < heads.query;
        const MatrixView<float> gradient = HeadOf(qkv.grad_view(), head, head_dim);
        RmsNormBackwardRows(gradient, HeadOf(qkv.view(), head, head_dim),
                            is_query ? q_weight.data : k_weight.data, r.view().Row(head), begin, end,
                            /*add=*/false, gradient, (is_query ? q_parts : k_parts).Row(task));
      }
    });
    AddParts(execution, q_parts, q_weight);
    AddParts(execution, k_parts, k_weight);
  }

  static void AddParts(Execution& execution, MatrixView<const float> parts, const Parameter& weight) {
    float* gradient = execution.GradientOf(weight);
    if (gradient == nullptr) return;
    ForColumns(execution.threads, weight.cols,
               [&](size_t begin, size_t end) { AddColumnSums(parts, begin, end, gradient); });
  }
};

}  // namespace

Tensor NormalizeHeads(Execution& execution, Tensor qkv, HeadCounts heads, const Parameter& q_weight,
                      const Parameter& k_weight, float eps) {
  const size_t head_dim = q_weight.cols, normalised = heads.query + heads.key_value;
  QWEN25_CHECK(q_weight.rows == 1 && k_weight.rows == 1 && k_weight.cols == head_dim);
  QWEN25_CHECK(qkv.cols() == (normalised + heads.key_value) * head_dim);
  const bool records = execution.tape != nullptr;
  Tensor out = records ? execution.tensors.New(qkv.rows(), qkv.cols()) : qkv;
  const Tensor r = records ? execution.tensors.New(normalised, qkv.rows()) : Tensor();
  ForRows(execution.threads, qkv.rows(), [&](size_t begin, size_t end, size_t) {
    for (size_t head = 0; head < normalised; ++head) {
      RmsNormRows(HeadOf(qkv.view(), head, head_dim), head < heads.query ? q_weight.data : k_weight.data, eps,
                  begin, end, HeadOf(out.view(), head, head_dim), records ? r.view().Row(head) : nullptr);
    }
    if (!records) return;
    const size_t first = normalised * head_dim;
    for (size_t t = begin; t < end; ++t) {
      std::copy(qkv.view().Row(t) + first, qkv.view().Row(t) + qkv.cols(), out.view().Row(t) + first);
    }
  });
  if (records) {
    execution.tape->Push(HeadNormsRecord{std::move(qkv), r, out, heads, q_weight, k_weight});
  }
  return out;
}

}  // namespace qwen25
