#include "kernels/attention.h"

#include <cstring>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_backward.cc"
#include <hwy/foreach_target.h>
// Headers that use Highway must come after foreach_target.h.
#include <hwy/highway.h>

#include "kernels/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {

// Rows of a tile, or keys of a block, whose masks are rounded to one range: a multiple of the register tile.
constexpr size_t kGroupRows = 12;

void OutputDotsImpl(size_t head_dim, size_t num_heads, const float* outputs, const float* doutputs,
                    float* deltas) {
  for (size_t h = 0; h < num_heads; ++h) {
    float dot = 0;
    ForVectors(0, head_dim, [&](auto tag, size_t i) HWY_ATTR {
      const size_t at = h * head_dim + i;
      dot += hn::GetLane(
          hn::SumOfLanes(tag, hn::Mul(hn::LoadU(tag, outputs + at), hn::LoadU(tag, doutputs + at))));
    });
    deltas[h] = dot;
  }
}

void LoadKeyBlockImpl(const RotaryAngles& rotary, HeadRows<const float> keys, HeadRows<const float> values,
                      size_t num_tokens, const KeyGradState& state) {
  const size_t head_dim = rotary.head_dim;
  for (size_t t = 0; t < num_tokens; ++t) {
    const size_t angles = t * (head_dim / 2);
    RotateRow<false>(head_dim, rotary.offset_cos + angles, rotary.offset_sin + angles, 1.0f,
                     keys.data + t * keys.stride, state.keys + t * head_dim);
  }
  Transpose(num_tokens, head_dim, state.keys, head_dim, state.keys_transposed, kBlockTokens);
  Transpose(num_tokens, head_dim, values.data, values.stride, state.values_transposed, kBlockTokens);
  std::memset(state.dkeys, 0, 2 * head_dim * kBlockTokens * sizeof(float));  // and dvalues behind it
}

void StoreKeyGradientsImpl(const RotaryAngles& rotary, size_t num_tokens, const KeyGradState& state,
                           HeadRows<float> dkeys, HeadRows<float> dvalues) {
  const size_t head_dim = rotary.head_dim;
  for (size_t t = 0; t < num_tokens; ++t) {
    const size_t angles = t * (head_dim / 2);
    float* to = dkeys.data + t * dkeys.stride;
    RotateRow<false>(head_dim, rotary.offset_cos + angles, rotary.offset_sin + angles, -1.0f,
                     state.dkeys + t * head_dim, to);
    // The queries that made it were scaled by scale * log2(e).
    ForVectors(0, head_dim, [&](auto tag, size_t i) HWY_ATTR {
      hn::StoreU(hn::Mul(hn::LoadU(tag, to + i), hn::Set(tag, kLn2)), tag, to + i);
    });
    std::memcpy(dvalues.data + t * dvalues.stride, state.dvalues + t * head_dim, head_dim * sizeof(float));
  }
}

void LoadQueryGradientsImpl(const QueryTile& tile, const RotaryAngles& rotary, HeadRows<const float> queries,
                            float scale, HeadRows<const float> doutputs, HeadRows<const float> log_sums,
                            HeadRows<const float> deltas, const QueryGradState& state) {
  GatherQueries(tile, rotary, queries, scale, state.queries);
  const size_t group_floats = tile.num_heads * tile.head_dim;
  for (size_t t = 0; t < tile.num_tokens; ++t) {
    std::memcpy(state.doutputs + t * group_floats, doutputs.data + t * doutputs.stride,
                group_floats * sizeof(float));
    for (size_t g = 0; g < tile.num_heads; ++g) {
      state.log_sums[t * tile.num_heads + g] = log_sums.data[t * log_sums.stride + g];
      state.deltas[t * tile.num_heads + g] = deltas.data[t * deltas.stride + g];
    }
  }
}

// Probabilities and score gradients of one row, from its scores and do v^T; exactly 0 from `visible` on.
HWY_INLINE void ScoreGradients(float* HWY_RESTRICT probabilities, float* HWY_RESTRICT dscores, size_t visible,
                               float log_sum, float delta) {
  const Vec shift = hn::Set(kTag, log_sum), subtract = hn::Set(kTag, delta);
  size_t i = 0;
  for (; i + kLanes <= visible; i += kLanes) {
    const Vec p = Exp2(kTag, hn::Sub(hn::LoadU(kTag, probabilities + i), shift));
    hn::StoreU(p, kTag, probabilities + i);
    hn::StoreU(hn::Mul(p, hn::Sub(hn::LoadU(kTag, dscores + i), subtract)), kTag, dscores + i);
  }
  if (i < visible) {
    const auto seen = hn::FirstN(kTag, visible - i);
    const Vec p = Exp2(kTag, hn::Sub(hn::LoadU(kTag, probabilities + i), shift));
    const Vec ds = hn::Mul(p, hn::Sub(hn::LoadU(kTag, dscores + i), subtract));
    hn::StoreU(hn::IfThenElseZero(seen, p), kTag, probabilities + i);
    hn::StoreU(hn::IfThenElseZero(seen, ds), kTag, dscores + i);
    i += kLanes;
  }
  for (; i < kBlockTokens; i += kLanes) {
    hn::StoreU(hn::Zero(kTag), kTag, probabilities + i);
    hn::StoreU(hn::Zero(kTag), kTag, dscores + i);
  }
}

// Fills probabilities and dscores of the whole tile. Those of keys that a window hides are 0.
void TileScoreGradients(const QueryTile& tile, const float* queries, size_t block_index,
                        const KeyGradState& keys, const QueryGradState& state) {
  const size_t head_dim = tile.head_dim, num_rows = tile.num_rows();
  for (size_t begin = 0; begin < num_rows; begin += kGroupRows) {
    const size_t end = std::min(num_rows, begin + kGroupRows);
    const size_t visible = tile.VisibleInBlock((end - 1) / tile.num_heads, block_index);
    Product<> product = {.rows = end - begin,
                         .cols = WholeVectors(visible),
                         .depth = head_dim,
                         .a = queries + begin * head_dim,
                         .a_stride = head_dim,
                         .b = keys.keys_transposed,
                         .b_stride = kBlockTokens,
                         .c = state.probabilities + begin * kBlockTokens,
                         .c_stride = kBlockTokens};
    Multiply<false>(product);
    product.a = state.doutputs + begin * head_dim;
    product.b = keys.values_transposed;
    product.c = state.dscores + begin * kBlockTokens;
    Multiply<false>(product);
    for (size_t row = begin; row < end; ++row) {
      ScoreGradients(state.probabilities + row * kBlockTokens, state.dscores + row * kBlockTokens,
                     tile.VisibleInBlock(row / tile.num_heads, block_index), state.log_sums[row],
                     state.deltas[row]);
      const size_t hidden = tile.HiddenOfRow(row, block_index);
      std::fill_n(state.probabilities + row * kBlockTokens, hidden, 0.0f);
      std::fill_n(state.dscores + row * kBlockTokens, hidden, 0.0f);
    }
  }
}

// dk += ds^T q and dv += p^T do, for each group of keys from the first row that sees one of them.
void AddKeyGradients(const QueryTile& tile, const float* queries, size_t block_index,
                     const KeyGradState& keys, const QueryGradState& state) {
  const size_t head_dim = tile.head_dim;
  const size_t visible = tile.VisibleInBlock(tile.num_tokens - 1, block_index);
  size_t token = 0;
  for (size_t begin = 0; begin < visible; begin += kGroupRows) {
    while (tile.VisibleInBlock(token, block_index) <= begin) ++token;
    const size_t row = token * tile.num_heads;
    Product<> product = {.rows = std::min(kGroupRows, visible - begin),
                         .cols = head_dim,
                         .depth = tile.num_rows() - row,
                         .a = state.dscores + row * kBlockTokens + begin,
                         .a_stride = kBlockTokens,
                         .b = queries + row * head_dim,
                         .b_stride = head_dim,
                         .c = keys.dkeys + begin * head_dim,
                         .c_stride = head_dim,
                         .add = true};
    Multiply<true>(product);
    product.a = state.probabilities + row * kBlockTokens + begin;
    product.b = state.doutputs + row * head_dim;
    product.c = keys.dvalues + begin * head_dim;
    Multiply<true>(product);
  }
}

// dq += ds k, rotated back by the distance to the block.
void AddQueryGradients(const QueryTile& tile, const RotaryAngles& rotary, size_t block_index, bool writes,
                       const KeyGradState& keys, const QueryGradState& state, HeadRows<float> dqueries) {
  const size_t head_dim = tile.head_dim, num_rows = tile.num_rows();
  for (size_t begin = 0; begin < num_rows; begin += kGroupRows) {
    const size_t end = std::min(num_rows, begin + kGroupRows);
    Multiply<false>({.rows = end - begin,
                     .cols = head_dim,
                     .depth = tile.VisibleInBlock((end - 1) / tile.num_heads, block_index),
                     .a = state.dscores + begin * kBlockTokens,
                     .a_stride = kBlockTokens,
                     .b = keys.keys,
                     .b_stride = head_dim,
                     .c = state.dqueries + begin * head_dim,
                     .c_stride = head_dim});
  }
  const BlockAngles angles = AnglesBetween(rotary, tile.block(), block_index);
  const float* from = state.dqueries;
  for (size_t t = 0; t < tile.num_tokens; ++t) {
    for (size_t g = 0; g < tile.num_heads; ++g, from += head_dim) {
      float* to = dqueries.data + t * dqueries.stride + g * head_dim;
      if (writes) {
        RotateRow<false>(head_dim, angles.cos, angles.sin, -angles.sign, from, to);
      } else {
        RotateRow<true>(head_dim, angles.cos, angles.sin, -angles.sign, from, to);
      }
    }
  }
}

void BackwardBlockImpl(const QueryTile& tile, const RotaryAngles& rotary, size_t block_index,
                       BackwardParts parts, const KeyGradState& keys, const QueryGradState& state,
                       HeadRows<float> dqueries) {
  const float* queries = QueriesAt(tile, rotary, block_index, state.queries, state.rotated);
  TileScoreGradients(tile, queries, block_index, keys, state);
  if (parts.keys) AddKeyGradients(tile, queries, block_index, keys, state);
  if (parts.queries) {
    AddQueryGradients(tile, rotary, block_index, parts.writes_queries, keys, state, dqueries);
  }
}

void FinishQueryGradientsImpl(const QueryTile& tile, const RotaryAngles& rotary, float scale,
                              HeadRows<float> dqueries) {
  const size_t head_dim = tile.head_dim;
  for (size_t t = 0; t < tile.num_tokens; ++t) {
    const size_t angles = (tile.first_offset() + t) * (head_dim / 2);
    for (size_t g = 0; g < tile.num_heads; ++g) {
      float* row = dqueries.data + t * dqueries.stride + g * head_dim;
      RotateRow<false>(head_dim, rotary.offset_cos + angles, rotary.offset_sin + angles, -1.0f, row, row);
      ForVectors(0, head_dim, [&](auto tag, size_t i) HWY_ATTR {
        hn::StoreU(hn::Mul(hn::LoadU(tag, row + i), hn::Set(tag, scale)), tag, row + i);
      });
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qwen25 {
namespace {

HWY_EXPORT(OutputDotsImpl);
HWY_EXPORT(LoadKeyBlockImpl);
HWY_EXPORT(StoreKeyGradientsImpl);
HWY_EXPORT(LoadQueryGradientsImpl);
HWY_EXPORT(BackwardBlockImpl);
HWY_EXPORT(FinishQueryGradientsImpl);

}  // namespace

void OutputDots(size_t head_dim, size_t num_heads, const float* outputs, const float* doutputs,
                float* deltas) {
  HWY_DYNAMIC_DISPATCH(OutputDotsImpl)(head_dim, num_heads, outputs, doutputs, deltas);
}
void LoadKeyBlock(const RotaryAngles& rotary, HeadRows<const float> keys, HeadRows<const float> values,
                  size_t num_tokens, const KeyGradState& state) {
  HWY_DYNAMIC_DISPATCH(LoadKeyBlockImpl)(rotary, keys, values, num_tokens, state);
}
void StoreKeyGradients(const RotaryAngles& rotary, size_t num_tokens, const KeyGradState& state,
                       HeadRows<float> dkeys, HeadRows<float> dvalues) {
  HWY_DYNAMIC_DISPATCH(StoreKeyGradientsImpl)(rotary, num_tokens, state, dkeys, dvalues);
}
void LoadQueryGradients(const QueryTile& tile, const RotaryAngles& rotary, HeadRows<const float> queries,
                        float scale, HeadRows<const float> doutputs, HeadRows<const float> log_sums,
                        HeadRows<const float> deltas, const QueryGradState& state) {
  HWY_DYNAMIC_DISPATCH(LoadQueryGradientsImpl)
  (tile, rotary, queries, scale, doutputs, log_sums, deltas, state);
}
void BackwardBlock(const QueryTile& tile, const RotaryAngles& rotary, size_t block_index, BackwardParts parts,
                   const KeyGradState& keys, const QueryGradState& queries, HeadRows<float> dqueries) {
  HWY_DYNAMIC_DISPATCH(BackwardBlockImpl)(tile, rotary, block_index, parts, keys, queries, dqueries);
}
void FinishQueryGradients(const QueryTile& tile, const RotaryAngles& rotary, float scale,
                          HeadRows<float> dqueries) {
  HWY_DYNAMIC_DISPATCH(FinishQueryGradientsImpl)(tile, rotary, scale, dqueries);
}

}  // namespace qwen25
#endif  // HWY_ONCE
