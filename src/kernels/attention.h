// The arithmetic of attention: tiles of query rows against one KV block of 64 tokens at a time.
//
// Letters: D = head_dim (even), G = query heads that share one kv head, R = rows of a query tile: its tokens
// times G, token by token.
//
// The result of a query row is the same bits whatever else is in its tile: every product is one chain of
// multiply-adds in ascending order, blocks are walked in ascending order, and a key that a row does not see
// has a probability of exactly 0. That holds in the forward direction for keys and values that are not
// finite, too: NaN in a later token does not reach an earlier one. In the backward direction it does reach
// the tile. Scores are in units of log2, so that their exponential is a power of two.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels/kv_block.h"

namespace qwen25 {

// Rotary tables. Pair i of a head is (x[i], x[i + D/2]).
struct RotaryAngles {
  size_t head_dim;
  const float *offset_cos, *offset_sin;  // [64, D/2] angles of a position inside its block
  const float *block_cos, *block_sin;    // [max_distance + 1, D/2] angles of a distance in whole blocks
  // The same, transposed and from far to near, so that those of consecutive blocks lie side by side:
  // [D/2, descending_stride], with 64 more of the greatest distance before and of distance 0 after.
  const float *descending_cos, *descending_sin;
  size_t descending_stride;
  size_t max_distance;  // in blocks; keys farther away are seen at this distance

  // Where `block` and those after it stand in a row of the descending tables.
  size_t DescendingIndex(size_t query_block, size_t block) const {
    const size_t distance = query_block - block;
    return distance >= max_distance + 64 ? 0 : max_distance + 64 - distance;
  }
};

// A window that hides nothing.
inline constexpr size_t kNoWindow = SIZE_MAX;

// The queries of consecutive tokens of one sequence, all within one block of 64 positions, for the heads of
// one group.
struct QueryTile {
  size_t head_dim;
  size_t num_heads;  // G
  size_t num_tokens;
  size_t first_position;
  size_t always_visible;  // keys [0, always_visible) are seen by every row, whatever its position
  size_t block_tokens = kBlockTokens;  // keys of a block that count, the first ones
  size_t window = kNoWindow;           // keys at this distance or farther are not seen, at least 1

  size_t num_rows() const { return num_tokens * num_heads; }
  size_t block() const { return first_position / kBlockTokens; }
  size_t first_offset() const { return first_position % kBlockTokens; }
  // Keys [Hidden, Visible) are seen by the rows of a token. Both are greater, or the same, for later tokens.
  size_t Visible(size_t token) const {
    const size_t own_end = first_position + token + 1, end = std::max(own_end, always_visible);
    return end - own_end < window ? end : own_end - 1 + window;
  }
  size_t Hidden(size_t token) const {
    const size_t own_end = first_position + token + 1;
    return own_end <= window ? 0 : own_end - window;
  }
  // Of these, the ones in a block; 0 after the last block that the token sees.
  size_t VisibleInBlock(size_t token, size_t block) const {
    const size_t visible = Visible(token), begin = block * kBlockTokens;
    return visible <= begin ? 0 : std::min(visible - begin, block_tokens);
  }
  // The first keys of a block that a token does not see any more. At least VisibleInBlock if it sees none.
  size_t HiddenInBlock(size_t token, size_t block) const {
    const size_t hidden = Hidden(token), begin = block * kBlockTokens;
    return hidden <= begin ? 0 : std::min(hidden - begin, kBlockTokens);
  }
  // The same by the row of a token, without a division where there is no window.
  size_t HiddenOfRow(size_t row, size_t block) const {
    return window == kNoWindow ? 0 : HiddenInBlock(row / num_heads, block);
  }
  // The tile sees blocks [FirstBlock, NumBlocks). Each of its rows sees a key in each of them, unless there
  // is a window.
  size_t FirstBlock() const { return Hidden(0) / kBlockTokens; }
  // The first block that one of the 64 tokens of the tile's block sees, whichever of them are in the tile.
  size_t FirstBlockOfOwn() const {
    const size_t own_end = block() * kBlockTokens + 1;
    return own_end <= window ? 0 : (own_end - window) / kBlockTokens;
  }
  size_t NumBlocks() const { return BlocksFor(Visible(num_tokens - 1)); }
};

// A tile has at most this many rows, or those of one token if a group has more heads: q, k, v and the sums
// of a tile stay in the second-level cache up to D = 128.
inline constexpr size_t kMaxTileRows = 64;
// Tokens per tile, a power of two: tile borders are then at multiples of it in every sequence.
constexpr size_t TokensPerTile(size_t heads_per_group) {
  return std::bit_floor(std::max<size_t>(1, kMaxTileRows / heads_per_group));
}
constexpr size_t RowsPerTile(size_t heads_per_group) {
  return TokensPerTile(heads_per_group) * heads_per_group;
}

// Rows of activations, one per token, `stride` floats apart; `data` is at the first head of the group, whose
// G heads lie side by side.
template <typename T>
struct HeadRows {
  T* data;
  size_t stride;
};

// ---- Keys and values -----------------------------------------------------------------

// Writes the keys and values of `num_tokens` tokens into slots [first_offset, first_offset + num_tokens) of a
// block, keys rotated by their offset. `scratch` has 64 * D floats.
void StoreKeysAndValues(const RotaryAngles& rotary, HeadRows<const float> keys, HeadRows<const float> values,
                        size_t num_tokens, size_t first_offset, const KvBlock& block, float* scratch);

// ---- Forward -------------------------------------------------------------------------

// Running state of one tile, in scratch memory of AttendState::NumFloats.
struct AttendState {
  float* queries;  // [R, D] rotated by their offset, scaled
  float* rotated;  // [R, D] rotated by the distance to the current block as well
  float* sums;     // [R, D] of probability times value
  float* totals;   // [R, 16] of probability, per lane
  float* shifts;   // [R] what is subtracted from scores before their exponential
  float* factors;  // [R] what the current block scales earlier sums by
  float* scores;   // [12, 64] of a few rows
  float* scaled;   // [12, 64] the same times the scales of int8 values
  // Address of the block that is attended next, in the same format; null: not known. It comes from memory
  // while this one is used.
  const void* next = nullptr;

  static constexpr size_t kGroupRows = 12;  // rows that go through scores, softmax and values together
  static constexpr size_t NumFloats(size_t head_dim, size_t rows) {
    return 3 * rows * head_dim + 18 * rows + 2 * kGroupRows * kBlockTokens;
  }
  AttendState(float* memory, size_t head_dim, size_t rows)
      : queries(memory),
        rotated(queries + rows * head_dim),
        sums(rotated + rows * head_dim),
        totals(sums + rows * head_dim),
        shifts(totals + 16 * rows),
        factors(shifts + rows),
        scores(factors + rows),
        scaled(scores + kGroupRows * kBlockTokens) {}

  // The state of the rows from `row` on, as a tile of its own.
  AttendState FromRow(size_t row, size_t head_dim) const {
    AttendState part = *this;
    part.queries += row * head_dim;
    part.rotated += row * head_dim;
    part.sums += row * head_dim;
    part.totals += row * 16;
    part.shifts += row;
    part.factors += row;
    return part;
  }
};

// Starts a tile. `scale` is that of the scores.
void LoadQueries(const QueryTile& tile, const RotaryAngles& rotary, HeadRows<const float> queries,
                 float scale, const AttendState& state);
// Adds one block that the tile sees. Blocks come in ascending order.
void AttendToBlock(const QueryTile& tile, const RotaryAngles& rotary, const KvBlock& block,
                   size_t block_index, const AttendState& state);
// The same for a float16 block: the numbers are those of the block in float32. `scratch` has 64 * D floats
// for keys and as many for values, key_stride 64.
void AttendToBlock(const QueryTile& tile, const RotaryAngles& rotary, const HalfKvBlock& block,
                   const KvBlock& scratch, size_t block_index, const AttendState& state);
// The same for an int8 block. A score is the sum over groups, in ascending order, of a token's scale times
// the chain of products with its codes; a probability is multiplied by the scale of a group before it meets
// codes.
void AttendToBlock(const QueryTile& tile, const RotaryAngles& rotary, const Int8KvBlock& block,
                   const KvBlock& scratch, size_t block_index, const AttendState& state);
// masses [R]: per row of the tile, the logarithm (base 2) of the sum of the exponentials of its scores in one
// block, which its keys tell alone; minus infinity for a row that sees none of them. Of the state, only
// `rotated` and `scores` change.
void KeyMasses(const QueryTile& tile, const RotaryAngles& rotary, const KvBlock& block, size_t block_index,
               const AttendState& state, float* masses);
// The same for narrower blocks; `scratch` as for AttendToBlock.
void KeyMasses(const QueryTile& tile, const RotaryAngles& rotary, const HalfKvBlock& block,
               const KvBlock& scratch, size_t block_index, const AttendState& state, float* masses);
void KeyMasses(const QueryTile& tile, const RotaryAngles& rotary, const Int8KvBlock& block,
               const KvBlock& scratch, size_t block_index, const AttendState& state, float* masses);
// Writes the tile's outputs and, if `log_sums.data` is not null, per token and head the logarithm (base 2)
// of the sum of the exponentials of its scores.
void StoreOutputs(const QueryTile& tile, const AttendState& state, HeadRows<float> outputs,
                  HeadRows<float> log_sums);

// y = 2^x for x [count], the exponential that attention uses: x below -100 gives 2^-100.
void PowersOfTwo(size_t count, const float* x, float* y);

// ---- Backward ------------------------------------------------------------------------

// With s = scores (base e), p = softmax(s), o = p v, and dx for the gradient of x:
//   dv = p^T do,  ds = p * (do v^T - delta),  delta = sum_d do * o,  dq = scale * ds k,  dk = scale * ds^T q
// p is computed again from the scores and the saved logarithm of their sum.

// One kv head of one block and its gradients, in scratch memory of KeyGradState::NumFloats.
struct KeyGradState {
  float* keys_transposed;    // [D, 64]
  float* keys;               // [64, D]
  float* values_transposed;  // [D, 64]
  float* dkeys;              // [64, D]
  float* dvalues;            // [64, D]

  static constexpr size_t NumFloats(size_t head_dim) { return 5 * head_dim * kBlockTokens; }
  KeyGradState(float* memory, size_t head_dim)
      : keys_transposed(memory),
        keys(keys_transposed + head_dim * kBlockTokens),
        values_transposed(keys + head_dim * kBlockTokens),
        dkeys(values_transposed + head_dim * kBlockTokens),
        dvalues(dkeys + head_dim * kBlockTokens) {}
};

// One tile, in scratch memory of QueryGradState::NumFloats.
struct QueryGradState {
  float* queries;        // [R, D] rotated by their offset, scaled
  float* rotated;        // [R, D] rotated by the distance to the current block as well
  float* doutputs;       // [R, D]
  float* dqueries;       // [R, D] of the current block
  float* probabilities;  // [R, 64]
  float* dscores;        // [R, 64]
  float* log_sums;       // [R]
  float* deltas;         // [R]

  static constexpr size_t NumFloats(size_t head_dim, size_t rows) {
    return 4 * rows * head_dim + 2 * rows * kBlockTokens + 2 * rows;
  }
  QueryGradState(float* memory, size_t head_dim, size_t rows)
      : queries(memory),
        rotated(queries + rows * head_dim),
        doutputs(rotated + rows * head_dim),
        dqueries(doutputs + rows * head_dim),
        probabilities(dqueries + rows * head_dim),
        dscores(probabilities + rows * kBlockTokens),
        log_sums(dscores + rows * kBlockTokens),
        deltas(log_sums + rows) {}

  // The state of the rows from `row` on, as a tile of its own.
  QueryGradState FromRow(size_t row, size_t head_dim) const {
    QueryGradState part = *this;
    part.queries += row * head_dim;
    part.rotated += row * head_dim;
    part.doutputs += row * head_dim;
    part.dqueries += row * head_dim;
    part.probabilities += row * kBlockTokens;
    part.dscores += row * kBlockTokens;
    part.log_sums += row;
    part.deltas += row;
    return part;
  }
};

// deltas[t, h] = sum_d outputs[t, h, d] * doutputs[t, h, d] for one token's heads.
void OutputDots(size_t head_dim, size_t num_heads, const float* outputs, const float* doutputs,
                float* deltas);

// Starts a key block of `num_tokens` tokens: gradients are zero.
void LoadKeyBlock(const RotaryAngles& rotary, HeadRows<const float> keys, HeadRows<const float> values,
                  size_t num_tokens, const KeyGradState& state);
// Writes dk and dv of the block.
void StoreKeyGradients(const RotaryAngles& rotary, size_t num_tokens, const KeyGradState& state,
                       HeadRows<float> dkeys, HeadRows<float> dvalues);

void LoadQueryGradients(const QueryTile& tile, const RotaryAngles& rotary, HeadRows<const float> queries,
                        float scale, HeadRows<const float> doutputs, HeadRows<const float> log_sums,
                        HeadRows<const float> deltas, const QueryGradState& state);

// What BackwardBlock computes: one pass does both, two passes share the work among more threads. The numbers
// are the same.
struct BackwardParts {
  bool keys;                    // adds to the gradients of the block
  bool queries;                 // adds to dqueries, in the frame of queries rotated by their offset
  bool writes_queries = false;  // writes dqueries instead
};
void BackwardBlock(const QueryTile& tile, const RotaryAngles& rotary, size_t block_index, BackwardParts parts,
                   const KeyGradState& keys, const QueryGradState& queries, HeadRows<float> dqueries);
// Turns dqueries back and scales them, after the tile's last block.
void FinishQueryGradients(const QueryTile& tile, const RotaryAngles& rotary, float scale,
                          HeadRows<float> dqueries);

}  // namespace qwen25
