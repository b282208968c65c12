// Scores of KV blocks for the queries of a tile, from the blocks' summaries, and the shares that follow from
// them. Letters and formulas: block_summary.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/attention.h"
#include "kernels/block_summary.h"

namespace qwen25 {

enum class BlockScore : uint8_t { kMean, kBound, kOutlier };

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

// What ScorePanel makes of a score that is NaN or greater: such a block is read, and attention shows what is
// in it.
inline constexpr float kGreatestScore = 30000;

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
// Scores are at most kGreatestScore.
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
