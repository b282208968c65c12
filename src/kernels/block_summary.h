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

enum class BlockScore : uint8_t { kMean, kBound, kOutlier };

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

// The queries of a tile as scores see them, in scratch memory of NumFloats.
struct BlockScoreState {
  float* lengths;   // [R, P] |q_i|
  float* energies;  // [R, P] ln(2)/2 |q_i|^2: q is in units of log2
  float* outliers;  // [R, 64] scores of a panel's outliers
  float* queries;   // [R, D] as the current panel sees them
  float* points;    // [D, 64] its means or outliers, as the queries see them

  static constexpr size_t NumFloats(size_t head_dim, size_t rows) {
    return rows * (2 * head_dim + kPanelBlocks) + head_dim * kPanelBlocks;
  }
  BlockScoreState(float* memory, size_t head_dim, size_t rows)
      : lengths(memory),
        energies(lengths + rows * (head_dim / 2)),
        outliers(energies + rows * (head_dim / 2)),
        queries(outliers + rows * kPanelBlocks),
        points(queries + rows * head_dim) {}
};

// Starts a tile with `queries` [R, D], rotated by their offset and scaled to units of log2
// (AttendState::queries).
void LoadScoreQueries(size_t head_dim, size_t num_rows, const float* queries, const BlockScoreState& state);

// A place for the scores of a tile: `data` [R, stride] at the panel's first block.
struct ScoreRows {
  float* data;
  size_t stride;
};
// The panel to score, or a part of one: the `num_blocks` columns from `data` on, the first of which is block
// `first_block` of the sequence; or, of a super panel, a part of kPartBlocks blocks.
struct ScoredPanel {
  const uint16_t* data;
  size_t first_block, num_blocks;
  size_t blocks_per_column = 1;
  const uint16_t* next = nullptr;  // columns that are scored next, if known
  size_t next_blocks = 0;          // number of these
};
// Writes the scores of the columns (logarithms, base 2, of an estimate of the mean exponential) and, if
// `bounds.data` is not null, their bounds. Numbers after `num_blocks`, up to a multiple of 16, are undefined.
// A score that is NaN or greater than 30000 becomes 30000: such a block is read, and attention shows what is
// in it.
void ScorePanel(const RotaryAngles& rotary, size_t num_rows, size_t query_block, const ScoredPanel& panel,
                BlockScore kind, const float* queries, const BlockScoreState& state, ScoreRows scores,
                ScoreRows bounds);

// The share of each block in the attention of one token, by the scores of its G heads, averaged over them:
//   share_b = mean_g 64 * 2^scores[g,b] / Z_g,  Z_g = 2^read_logs[g] + sum_b 64 * 2^scores[g,b]
// where read_logs [G] is the logarithm (base 2) of the sum of the exponentials computed so far. Returns the
// share of the latter. scores [G, scores.stride] become each head's own shares, divided by G; shares
// [num_blocks rounded up to 16].
float BlockShares(size_t num_heads, size_t num_blocks, ScoreRows scores, const float* read_logs,
                  float* shares);

// shares [num_blocks rounded up to 16] = sum over heads of weights[g] * what BlockShares left in `scores`.
void WeighShares(size_t num_heads, size_t num_blocks, ScoreRows scores, const float* weights, float* shares);

// The outputs of a tile at the time when they were saved, in memory of NumFloats.
struct AttendSnapshot {
  float* outputs;  // [R, D]
  float* logs;     // [R] read_logs

  static constexpr size_t NumFloats(size_t head_dim, size_t rows) { return rows * (head_dim + 1); }
  AttendSnapshot(float* memory, size_t head_dim, size_t rows)
      : outputs(memory), logs(outputs + rows * head_dim) {}
};
void SaveOutputs(size_t head_dim, size_t num_rows, const AttendState& state, const AttendSnapshot& snapshot);
// How much the blocks read since then differ from those read before, for rows [first_row, first_row + count):
// |v - o| / |o'|, where o and o' are the outputs before and after, and v is that of the blocks between alone;
// at most 1, and 1 if nothing was read or a number is not finite. Unread blocks with a share s of the
// attention change the output by about s times this.
void Novelties(size_t head_dim, size_t first_row, size_t count, const AttendSnapshot& snapshot,
               const AttendState& state, float* novelties);

// The read_logs of rows [first_row, first_row + count) of a tile, as they are now.
void ReadLogs(const AttendState& state, size_t first_row, size_t count, float* read_logs);

}  // namespace qwen25
