#include <algorithm>

#include "kernels/elementwise.h"
#include "ops/ops.h"
#include "ops/row_tasks.h"

namespace qwen25 {
namespace {

struct EmbeddingRecord {
  Parameter table;
  std::span<const int32_t> tokens;
  Tensor out;

  // dtable[tokens[t]] += dout[t], rows in ascending order for each column: one token may stand in many rows.
  void Backward(Execution& execution) {
    float* gradient = execution.GradientOf(table);
    if (gradient == nullptr) return;
    ForColumns(execution.threads, table.cols, [&](size_t begin, size_t end) {
      for (size_t t = 0; t < tokens.size(); ++t) {
        AddOrCopy(out.grad() + t * table.cols + begin, end - begin, /*add=*/true,
                  gradient + static_cast<size_t>(tokens[t]) * table.cols + begin);
      }
    });
    out.FreeGrad();
  }
};

}  // namespace

Tensor Embedding(Execution& execution, const Parameter& table, std::span<const int32_t> tokens) {
  Tensor out = execution.tensors.New(tokens.size(), table.cols);
  ForRows(execution.threads, tokens.size(), [&](size_t begin, size_t end, size_t) {
    for (size_t t = begin; t < end; ++t) {
      const auto token = static_cast<size_t>(tokens[t]);
      QWEN25_CHECK(token < table.rows);
      float* row = out.data() + t * table.cols;
      if (table.packed) {
        UnpackRow(table.packed, table.rows, table.cols, token, row);
      } else {
        std::copy_n(table.data + token * table.cols, table.cols, row);
      }
    }
  });
  if (execution.tape != nullptr) execution.tape->Push(EmbeddingRecord{table, tokens, out});
  return out;
}

}  // namespace qwen25
