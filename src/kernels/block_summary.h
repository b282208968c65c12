// Summaries of KV blocks: a router estimates from them what a block holds, without reading it.
//
// Letters: D = head_dim, P = D/2 rotary pairs (pair i is (x[i], x[i + D/2])), G = query heads of one kv head,
// R = rows of a query tile (tokens times G), B = kBlockTokens = 64.
//
// With k_t the keys of a block, rotated by their offset inside it, a summary holds
//   mean c = mean_t k_t                                 [D]
//   radius r_i = max_t |k_t,i - c_i|                    [P]  of the points that pair i takes in its plane
//   outlier o = the k_t with the greatest |k_t - c|     [D]
//   variance v_i = mean_t |k_t,i - c_i|^2 / 2           [P]  per dimension of pair i, of the keys but o
// With a query q, rotated by its distance to the block, it tells about the scores s_t = q . k_t
//   mean:    mean_t s_t = q . c
//   bound:   s_t <= q . c + sum_i |q_i| r_i             (Cauchy-Schwarz in each plane)
//   outlier: log mean_t e^s_t ~ log(e^(q . c + sum_i |q_i|^2 v_i / 2) + e^(q . o) / B)   (exact if the
//            other keys are normal and their pairs have no preferred direction)
// Radii, distances and variances do not change under rotation, so a summary holds at any distance. Quest
// (arXiv:2406.10774) bounds by the least and greatest key per dimension instead, which holds at one distance
// only; MoBA (arXiv:2502.13189) scores by the mean; InfLLM (arXiv:2402.04617) by a few keys of the block,
// those that received most attention. The mean says least about a key that stands alone, such as that of a
// fact among other text.
//
// Means are rounded to float16 first, and radii (rounded upwards), variances and outliers are those around
// the rounded mean: the bound holds for the stored numbers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/attention.h"

namespace qwen25 {

// Numbers of the summary of one block and kv head: D of the mean, P of radii, P of variances, D of the
// outlier.
constexpr size_t NumbersPerSummary(size_t head_dim) {
  return 3 * head_dim;
}
// Blocks whose summaries lie side by side in a panel, as the keys of a block do: [3 D, 64] float16; column j
// is the summary of block j of the 64.
inline constexpr size_t kPanelBlocks = 64;
constexpr size_t NumbersPerPanel(size_t head_dim) {
  return NumbersPerSummary(head_dim) * kPanelBlocks;
}

// The rows of a summary's parts in a panel, at column `lane`.
template <typename Number>  // uint16_t or const uint16_t
struct SummaryColumn {
  Number *mean, *radius, *variance, *outlier;

  SummaryColumn(size_t head_dim, size_t lane, Number* panel)
      : mean(panel + lane),
        radius(mean + head_dim * kPanelBlocks),
        variance(radius + head_dim / 2 * kPanelBlocks),
        outlier(variance + head_dim / 2 * kPanelBlocks) {}
};

// Writes the summary of a block that has all its 64 tokens to column `lane` of a panel.
void SummarizeBlock(size_t head_dim, const KvBlock& block, size_t lane, uint16_t* panel);
void SummarizeBlock(size_t head_dim, const HalfKvBlock& block, size_t lane, uint16_t* panel);
void SummarizeBlock(size_t head_dim, const Int8KvBlock& block, size_t lane, uint16_t* panel);

// Blocks that have one summary together, kPanelParts of these to a panel.
inline constexpr size_t kPartBlocks = 16;
inline constexpr size_t kPanelParts = kPanelBlocks / kPartBlocks;

// Writes the summary of part of a panel, its kPartBlocks columns from `first_column` on, to column `lane` of
// another panel: that of the blocks' keys as they are seen at one distance, whichever block they stand in.
// Its outlier is the one among the outliers of the blocks, and the others do not count in its variances.
void SummarizePart(size_t head_dim, const uint16_t* panel, size_t first_column, size_t lane,
                   uint16_t* super_panel);

}  // namespace qwen25
