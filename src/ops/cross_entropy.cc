#include <algorithm>

#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "ops/ops.h"
#include "ops/row_tasks.h"
#include "ops/weight_product.h"

namespace qwen25 {
namespace {

// Rows of logits that exist at a time. At 152,064 entries of vocabulary and 64 rows they take 39 MB; small
// vocabularies take more rows, so that each pass over the weight serves enough of them.
constexpr size_t kMinChunkRows = 64;
constexpr size_t kMaxChunkRows = 1024;
constexpr size_t kMaxChunkFloats = size_t{4} << 20;

size_t ChunkRows(size_t vocabulary) {
  return std::clamp(kMaxChunkFloats / vocabulary / 64 * 64, kMinChunkRows, kMaxChunkRows);
}

// Loss of the rows of one chunk; logits become their gradients if grad_scale is not zero.
LossSum ChunkLoss(Execution& execution, MatrixView<float> logits, std::span<const int32_t> targets,
                  float grad_scale, double* row_losses) {
  ForRows(execution.threads, logits.rows, [&](size_t begin, size_t end, size_t) {
    for (size_t t = begin; t < end; ++t) {
      row_losses[t] = 0;
      if (targets[t] >= 0) {
        row_losses[t] = CrossEntropyRow(logits.Row(t), logits.cols, targets[t], grad_scale);
      } else if (grad_scale != 0.0f) {
        std::fill_n(logits.Row(t), logits.cols, 0.0f);
      }
    }
  });
  LossSum loss;
  for (size_t t = 0; t < logits.rows; ++t) {
    loss.sum += row_losses[t];
    loss.num_tokens += targets[t] >= 0;
  }
  return loss;
}

}  // namespace

PackedHead PackHead(Execution& execution, const Parameter& weight) {
  const size_t width = weight.cols, vocabulary = weight.rows;
  PackedHead head;
  if (!weight.packed) {
    head.forward = execution.tensors.New(1, PackedFloats(width, vocabulary));
    PackRightHandSide(execution.threads, width, vocabulary, GemmOperand::Transposed(weight.view()),
                      head.forward.data());
  }
  if (execution.tape != nullptr) {
    head.backward = execution.tensors.New(1, PackedFloats(vocabulary, width));
    PackRightHandSide(execution.threads, vocabulary, width, GemmOperand::Plain(weight.view()),
                      head.backward.data());
  }
  return head;
}

LossSum CrossEntropy(Execution& execution, const Tensor& x, const Parameter& weight,
                     std::span<const int32_t> targets, float grad_scale, std::span<float> row_losses,
                     const PackedHead* packed) {
  QWEN25_CHECK(x.cols() == weight.cols && targets.size() == x.rows());
  QWEN25_CHECK(row_losses.empty() || row_losses.size() == x.rows());
  ThreadPool& threads = execution.threads;
  const bool train = execution.tape != nullptr;
  const size_t width = x.cols(), vocabulary = weight.rows;
  const size_t max_rows = std::min(ChunkRows(vocabulary), x.rows());

  // The weight is packed once, not once per chunk.
  const PackedHead head = packed != nullptr ? *packed : PackHead(execution, weight);
  QWEN25_CHECK(!train || head.backward);
  Parameter packed_weight = weight;
  if (!weight.packed) {
    packed_weight.packed = {WeightFormat::kFloat32, reinterpret_cast<const std::byte*>(head.forward.data())};
  }
  const MatrixView<float> dweight = execution.GradientView(weight);
  // The gradient of x is complete when this returns, so nothing goes on the tape.
  const bool add = train && !x.MakeGrad();
  const Tensor logits_buffer = execution.tensors.New(max_rows, vocabulary);
  const Tensor loss_buffer = execution.tensors.New(max_rows, 2);  // doubles
  auto* chunk_losses = reinterpret_cast<double*>(loss_buffer.data());

  LossSum total;
  for (size_t begin = 0; begin < x.rows(); begin += max_rows) {
    const size_t num_rows = std::min(max_rows, x.rows() - begin);
    const MatrixView<float> logits = logits_buffer.view().Rows(0, num_rows);
    const MatrixView<const float> x_chunk = x.view().Rows(begin, begin + num_rows);
    WeightProduct(execution, x_chunk, packed_weight, {.c = logits});
    const LossSum loss = ChunkLoss(execution, logits, targets.subspan(begin, num_rows),
                                   train ? grad_scale : 0.0f, chunk_losses);
    total.sum += loss.sum;
    total.num_tokens += loss.num_tokens;
    for (size_t t = 0; t < num_rows && !row_losses.empty(); ++t) {
      row_losses[begin + t] = static_cast<float>(chunk_losses[t]);
    }
    if (!train) continue;
    GemmPacked(threads, execution.scratch, num_rows, width, vocabulary, GemmOperand::Plain(logits),
               {head.backward.data()}, {.c = x.grad_view().Rows(begin, begin + num_rows), .accumulate = add});
    if (dweight.data == nullptr) continue;
    Gemm(threads, execution.scratch, vocabulary, width, num_rows, GemmOperand::Transposed(logits),
         GemmOperand::Plain(x_chunk), {.c = dweight, .accumulate = true});
  }
  return total;
}

}  // namespace qwen25
