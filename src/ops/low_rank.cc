#include "ops/low_rank.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "ops/row_tasks.h"

namespace qwen25 {
namespace {

AlignedBuffer<float> Pack(ThreadPool& threads, size_t k, size_t n, const GemmOperand& b) {
  AlignedBuffer<float> packed(PackedFloats(k, n));
  PackRightHandSide(threads, k, n, b, packed.data());
  return packed;
}

// Whether ascending rows follow each other without a gap.
bool AreContiguous(std::span<const int32_t> rows) {
  return static_cast<size_t>(rows.back() - rows.front()) + 1 == rows.size();
}

// out[rows, first column of the part ...] += h * up, up [rank, num_cols] packed.
void AddProduct(Execution& execution, MatrixView<const float> h, const float* up,
                std::span<const int32_t> rows, MatrixView<float> out) {
  // Added to `out` by the product itself where that gives the same bits as below: one block of its order of
  // summation.
  if (AreContiguous(rows) && h.cols <= kGemmBlockK) {
    const auto first = static_cast<size_t>(rows.front());
    GemmPacked(execution.threads, execution.scratch, rows.size(), out.cols, h.cols, GemmOperand::Plain(h),
               {up}, {.c = out.Rows(first, first + rows.size()), .accumulate = true});
    return;
  }
  const Tensor change = execution.tensors.New(rows.size(), out.cols);
  GemmPacked(execution.threads, execution.scratch, rows.size(), out.cols, h.cols, GemmOperand::Plain(h), {up},
             {.c = change.view()});
  ForRows(execution.threads, rows.size(), [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      AddOrCopy(change.view().Row(i), out.cols, /*add=*/true, out.Row(static_cast<size_t>(rows[i])));
    }
  });
}

}  // namespace

LowRankUpdate::LowRankUpdate(ThreadPool& threads, std::span<const LowRankFactors> factors) {
  for (const LowRankFactors& factor : factors) {
    QWEN25_CHECK(factor.up.cols == factor.down.rows && factor.down.rows > 0);
    QWEN25_CHECK(num_inputs_ == 0 || num_inputs_ == factor.down.cols);
    num_inputs_ = factor.down.cols;
    parts_.push_back(
        {.first_row = factor.first_row,
         .num_rows = factor.up.rows,
         .first_rank = rank_,
         .rank = factor.up.cols,
         .up = Pack(threads, factor.up.cols, factor.up.rows, GemmOperand::Transposed(factor.up))});
    rank_ += factor.up.cols;
  }
  std::vector<float> all(rank_ * num_inputs_);
  for (size_t i = 0; i < factors.size(); ++i) {
    const MatrixView<const float>& down = factors[i].down;
    for (size_t r = 0; r < down.rows; ++r) {
      std::copy_n(down.Row(r), num_inputs_, all.data() + (parts_[i].first_rank + r) * num_inputs_);
    }
  }
  const MatrixView<const float> view(all.data(), rank_, num_inputs_);
  if (rank_ > 0) down_ = Pack(threads, num_inputs_, rank_, GemmOperand::Transposed(view));
}

void LowRankUpdate::AddTo(Execution& execution, const Tensor& x, std::span<const int32_t> rows,
                          const Tensor& out) const {
  if (empty() || rows.empty()) return;
  QWEN25_CHECK(execution.tape == nullptr && x.cols() == num_inputs_ && x.rows() == out.rows());
  MatrixView<const float> used;
  Tensor picked;
  if (AreContiguous(rows)) {
    const auto first = static_cast<size_t>(rows.front());
    used = x.view().Rows(first, first + rows.size());
  } else {
    picked = execution.tensors.New(rows.size(), num_inputs_);
    for (size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(x.view().Row(static_cast<size_t>(rows[i])), num_inputs_, picked.view().Row(i));
    }
    used = picked.view();
  }
  const Tensor h = execution.tensors.New(rows.size(), rank_);
  GemmPacked(execution.threads, execution.scratch, rows.size(), rank_, num_inputs_, GemmOperand::Plain(used),
             {down_.data()}, {.c = h.view()});
  for (const Part& part : parts_) {
    AddProduct(execution, h.view().Cols(part.first_rank, part.first_rank + part.rank), part.up.data(), rows,
               out.view().Cols(part.first_row, part.first_row + part.num_rows));
  }
}

LowRankEmbedding::LowRankEmbedding(ThreadPool& threads, std::span<const LowRankFactors> factors) {
  for (const LowRankFactors& factor : factors) {
    const size_t rank = factor.up.cols, width = factor.down.cols;
    QWEN25_CHECK(factor.first_row == 0 && rank == factor.down.rows && rank > 0);
    Part part = {.rank = rank,
                 .width = width,
                 .up = AlignedBuffer<float>(factor.up.rows * rank),
                 .down = Pack(threads, rank, width, GemmOperand::Plain(factor.down))};
    for (size_t row = 0; row < factor.up.rows; ++row) {
      std::copy_n(factor.up.Row(row), rank, part.up.data() + row * rank);
    }
    parts_.push_back(std::move(part));
  }
}

void LowRankEmbedding::AddTo(Execution& execution, std::span<const int32_t> tokens,
                             std::span<const int32_t> rows, const Tensor& out) const {
  if (empty() || rows.empty()) return;
  QWEN25_CHECK(execution.tape == nullptr && tokens.size() == out.rows());
  for (const Part& part : parts_) {
    QWEN25_CHECK(part.width == out.cols());
    const Tensor h = execution.tensors.New(rows.size(), part.rank);
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto token = static_cast<size_t>(tokens[static_cast<size_t>(rows[i])]);
      QWEN25_CHECK((token + 1) * part.rank <= part.up.size());
      std::copy_n(part.up.data() + token * part.rank, part.rank, h.view().Row(i));
    }
    AddProduct(execution, h.view(), part.down.data(), rows, out.view());
  }
}

}  // namespace qwen25
