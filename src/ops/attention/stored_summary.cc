#include "ops/attention/stored_summary.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "kernels/block_summary.h"
#include "ops/attention/listed_blocks.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

constexpr uint16_t kMinusInfinity = 0xfc00;  // in float16

uint16_t* HeadPanel(const AttentionShape& shape, std::byte* panel, size_t kv_head) {
  return reinterpret_cast<uint16_t*>(panel) + kv_head * NumbersPerPanel(shape.head_dim);
}

}  // namespace

size_t SummaryBytes(const AttentionShape& shape) {
  return shape.num_kv_heads * NumbersPerSummary(shape.head_dim) * sizeof(uint16_t);
}

void SummarizeStoredBlock(const AttentionShape& shape, const std::byte* block, std::span<std::byte> summary) {
  QWEN25_CHECK(summary.size() == SummaryBytes(shape));
  const AlignedBuffer<uint16_t> panel(NumbersPerPanel(shape.head_dim));
  auto* out = reinterpret_cast<uint16_t*>(summary.data());
  for (size_t kv_head = 0; kv_head < shape.num_kv_heads; ++kv_head) {
    WithKvBlock(shape.kv_format, [&]<typename Block>(std::type_identity<Block>) {
      // Read only.
      const auto head = HeadBlock<Block>(shape, const_cast<std::byte*>(block), kv_head);
      SummarizeBlock(shape.head_dim, head, 0, panel.data());
    });
    for (size_t i = 0; i < NumbersPerSummary(shape.head_dim); ++i) *out++ = panel.data()[i * kPanelBlocks];
  }
}

void FillPanel(const AttentionShape& shape, std::span<const std::byte* const> summaries, std::byte* panel) {
  QWEN25_CHECK(summaries.size() <= kPanelBlocks);
  const size_t numbers = NumbersPerSummary(shape.head_dim);
  for (size_t kv_head = 0; kv_head < shape.num_kv_heads; ++kv_head) {
    uint16_t* head = HeadPanel(shape, panel, kv_head);
    for (size_t column = 0; column < kPanelBlocks; ++column) {
      uint16_t* to = head + column;
      if (column < summaries.size() && summaries[column] != nullptr) {
        const auto* from = reinterpret_cast<const uint16_t*>(summaries[column]) + kv_head * numbers;
        for (size_t i = 0; i < numbers; ++i) to[i * kPanelBlocks] = from[i];
        continue;
      }
      // Means and outliers of 0, radii and variances of minus infinity: every score is minus infinity.
      for (size_t i = 0; i < numbers; ++i) {
        const bool is_spread = i >= shape.head_dim && i < 2 * shape.head_dim;
        to[i * kPanelBlocks] = is_spread ? kMinusInfinity : uint16_t{0};
      }
    }
  }
}

void SummarizeStoredPanel(const AttentionShape& shape, const std::byte* panel, size_t lane,
                          std::byte* super_panel) {
  const AlignedBuffer<uint16_t> whole(NumbersPerPanel(shape.head_dim));
  for (size_t kv_head = 0; kv_head < shape.num_kv_heads; ++kv_head) {
    const uint16_t* head = HeadPanel(shape, const_cast<std::byte*>(panel), kv_head);
    for (size_t part = 0; part < kPanelParts; ++part) {
      const size_t first = part * kPartBlocks;
      std::vector<size_t> columns;  // with a block
      for (size_t column = first; column < first + kPartBlocks; ++column) {
        if (head[shape.head_dim * kPanelBlocks + column] != kMinusInfinity) columns.push_back(column);
      }
      // Blocks that are not there count as those that are, over again.
      if (columns.empty()) columns.push_back(first);
      for (size_t row = 0; row < NumbersPerSummary(shape.head_dim); ++row) {
        for (size_t i = 0; i < kPartBlocks; ++i) {
          whole.data()[row * kPanelBlocks + first + i] =
              head[row * kPanelBlocks + columns[i % columns.size()]];
        }
      }
      SummarizePart(shape.head_dim, whole.data(), first, lane + part, HeadPanel(shape, super_panel, kv_head));
    }
  }
}

}  // namespace qwen25
