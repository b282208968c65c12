#include "kernels/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cc"
#include <hwy/foreach_target.h>
// Headers that use Highway must come after foreach_target.h.
#include <hwy/highway.h>

#include "kernels/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {

constexpr size_t kGroupRows = AttendState::kGroupRows;
constexpr size_t kScaleGroup = Int8KvBlock::kGroup;

void StoreKeysAndValuesImpl(const RotaryAngles& rotary, HeadRows<const float> keys,
                            HeadRows<const float> values, size_t num_tokens, size_t first_offset,
                            const KvBlock& block, float* scratch) {
  const size_t head_dim = rotary.head_dim;
  for (size_t t = 0; t < num_tokens; ++t) {
    const size_t angles = (first_offset + t) * (head_dim / 2);
    RotateRow<false>(head_dim, rotary.offset_cos + angles, rotary.offset_sin + angles, 1.0f,
                     keys.data + t * keys.stride, scratch + t * head_dim);
    std::memcpy(block.values + (first_offset + t) * head_dim, values.data + t * values.stride,
                head_dim * sizeof(float));
  }
  Transpose(num_tokens, head_dim, scratch, head_dim, block.keys + first_offset, block.key_stride);
}

void LoadQueriesImpl(const QueryTile& tile, const RotaryAngles& rotary, HeadRows<const float> queries,
                     float scale, const AttendState& state) {
  GatherQueries(tile, rotary, queries, scale, state.queries);
  const size_t rows = tile.num_rows();
  std::memset(state.sums, 0, rows * tile.head_dim * sizeof(float));
  std::memset(state.totals, 0, rows * 16 * sizeof(float));
  std::fill(state.shifts, state.shifts + rows, -std::numeric_limits<float>::infinity());
}

// `v`, the numbers of keys from i on, with `instead` for those that a window hides: keys [0, hidden), if
// kWindow.
template <bool kWindow>
HWY_INLINE Vec Unhidden(Vec v, size_t i, size_t hidden, Vec instead) {
  if constexpr (!kWindow) return v;
  return hn::IfThenElse(hn::FirstN(kTag, hidden - std::min(hidden, i)), instead, v);
}

// The greatest of the scores [hidden, visible), per lane.
template <bool kWindow>
HWY_INLINE Vec GreatestScores(const float* HWY_RESTRICT scores, size_t hidden, size_t visible) {
  const Vec least = hn::Set(kTag, -std::numeric_limits<float>::infinity());
  Vec greatest = least;
  size_t i = 0;
  for (; i + kLanes <= visible; i += kLanes) {
    greatest = hn::Max(greatest, Unhidden<kWindow>(hn::LoadU(kTag, scores + i), i, hidden, least));
  }
  if (i < visible) {
    const auto seen = hn::FirstN(kTag, visible - i);
    const Vec last = Unhidden<kWindow>(hn::LoadU(kTag, scores + i), i, hidden, least);
    greatest = hn::Max(greatest, hn::IfThenElse(seen, last, greatest));
  }
  return greatest;
}

// Turns scores into exponentials relative to `shift`, exactly 0 for keys before and behind the visible ones,
// and returns their sum per lane.
template <bool kWindow>
HWY_INLINE Vec Exponentials(float* HWY_RESTRICT scores, size_t hidden, size_t visible, size_t cols,
                            Vec shift) {
  const Vec zero = hn::Zero(kTag);
  Vec sum = zero;
  size_t i = 0;
  for (; i + kLanes <= visible; i += kLanes) {
    const Vec p = Unhidden<kWindow>(Exp2(kTag, hn::Sub(hn::LoadU(kTag, scores + i), shift)), i, hidden, zero);
    sum = hn::Add(sum, p);
    hn::StoreU(p, kTag, scores + i);
  }
  if (i < visible) {
    const auto seen = hn::FirstN(kTag, visible - i);
    const Vec last =
        Unhidden<kWindow>(Exp2(kTag, hn::Sub(hn::LoadU(kTag, scores + i), shift)), i, hidden, zero);
    const Vec p = hn::IfThenElseZero(seen, last);
    sum = hn::Add(sum, p);
    hn::StoreU(p, kTag, scores + i);
    i += kLanes;
  }
  for (; i < cols; i += kLanes) hn::StoreU(zero, kTag, scores + i);
  return sum;
}

// One row's step of the online softmax: brings its shift, factor and totals up to date and turns its scores
// into exponentials. The shift follows the greatest score only when that is more than kHeadroom above it, so
// that most blocks rescale nothing; exponentials then stay below 2^kHeadroom. Of a row that sees no key here,
// nothing changes.
template <bool kWindow = false>
HWY_INLINE void SoftmaxRow(float* HWY_RESTRICT scores, size_t hidden, size_t visible, size_t cols,
                           float& shift, float& factor, float* HWY_RESTRICT totals) {
  constexpr float kHeadroom = 8;
  const Vec greatest = GreatestScores<kWindow>(scores, hidden, visible);
  factor = 1;
  if (!hn::AllFalse(kTag, hn::Gt(greatest, hn::Set(kTag, shift + kHeadroom)))) {
    const float old = shift;
    shift = hn::GetLane(hn::MaxOfLanes(kTag, greatest));
    factor = hn::GetLane(Exp2(kTag, hn::Set(kTag, old - shift)));
  }
  const Vec sum = Exponentials<kWindow>(scores, hidden, visible, cols, hn::Set(kTag, shift));
  hn::StoreU(hn::MulAdd(hn::LoadU(kTag, totals), hn::Set(kTag, factor), sum), kTag, totals);
}

// The same for rows [begin, end), whose scores are [rows, 64], of which some do not see the block's first
// keys.
void SoftmaxRowsInWindow(const QueryTile& tile, size_t block_index, size_t begin, size_t end, size_t cols,
                         const AttendState& state) {
  float *scores = state.scores, *totals = state.totals + begin * 16;
  for (size_t row = begin; row < end; ++row, scores += kBlockTokens, totals += 16) {
    const size_t token = row / tile.num_heads;
    SoftmaxRow<true>(scores, tile.HiddenInBlock(token, block_index), tile.VisibleInBlock(token, block_index),
                     cols, state.shifts[row], state.factors[row], totals);
  }
}

// The same for rows that see the block's first keys.
void SoftmaxRows(const QueryTile& tile, size_t block_index, size_t begin, size_t end, size_t cols,
                 const AttendState& state) {
  float *scores = state.scores, *totals = state.totals + begin * 16;
  size_t token = begin / tile.num_heads, head = begin % tile.num_heads;
  size_t visible = tile.VisibleInBlock(token, block_index);
  const bool all_visible = visible == kBlockTokens;
  for (size_t row = begin; row < end; ++row, scores += kBlockTokens, totals += 16) {
    if (all_visible) {
      SoftmaxRow(scores, 0, kBlockTokens, kBlockTokens, state.shifts[row], state.factors[row], totals);
      continue;
    }
    SoftmaxRow(scores, 0, visible, cols, state.shifts[row], state.factors[row], totals);
    if (++head == tile.num_heads) {
      head = 0;
      visible = tile.VisibleInBlock(++token, block_index);
    }
  }
}

bool AllFinite(const uint16_t* HWY_RESTRICT from, size_t count) {
  constexpr uint16_t kExponent = 0x7c00;
  return std::none_of(from, from + count, [](uint16_t x) { return (x & kExponent) == kExponent; });
}
bool AllFinite(const float* HWY_RESTRICT from, size_t count) {
  bool finite = true;
  ForVectors(0, count, [&](auto tag, size_t i) HWY_ATTR {
    finite = finite && hn::AllTrue(tag, hn::IsFinite(hn::LoadU(tag, from + i)));
  });
  return finite;
}

// A block as products read it: float32, float16, or codes. Codes, and codes that were widened to float32,
// have scales (Int8KvBlock) that are still to be multiplied with.
template <typename Number>
struct Operands {
  const Number* keys;  // [D, key_stride]
  size_t key_stride;
  const Number* values;                    // [.., D]; null if only scores are wanted
  const uint16_t* key_scales = nullptr;    // [G, 64]
  const uint16_t* value_scales = nullptr;  // [G, 64]
  const Number* next = nullptr;            // keys of the block after this one, if known
};

// The scores of rows [begin, end), [rows, 64], for the first `cols` keys.
template <typename Number>
HWY_INLINE void ComputeScores(const QueryTile& tile, const float* queries, size_t begin, size_t end,
                              size_t cols, const Operands<Number>& block, float* scores) {
  const size_t head_dim = tile.head_dim;
  Product<Number> product = {.rows = end - begin,
                             .cols = cols,
                             .depth = head_dim,
                             .a = queries + begin * head_dim,
                             .a_stride = head_dim,
                             .b = block.keys,
                             .b_stride = block.key_stride,
                             .c = scores,
                             .c_stride = kBlockTokens,
                             .ahead = block.values != nullptr ? block.values : block.next};
  if (block.key_scales == nullptr) return Multiply<false>(product);
  product.scales = block.key_scales;
  for (size_t d = 0; d < head_dim; d += kScaleGroup) {
    product.depth = std::min(kScaleGroup, head_dim - d);
    product.add = d > 0;
    Multiply<false>(product);
    product.a += kScaleGroup;
    product.b += kScaleGroup * block.key_stride;
    if (product.ahead != nullptr) product.ahead += kScaleGroup * kBlockTokens;
    product.scales += kBlockTokens;
  }
}

// The keys of a block that rows [begin, end) of a tile see: [first, last) by some of them, of these all but
// [first, first_common) and [end_common, last) by all.
struct SeenKeys {
  size_t first, first_common, end_common, last;

  SeenKeys(const QueryTile& tile, size_t block_index, size_t begin, size_t end)
      : first(tile.HiddenOfRow(begin, block_index)),
        end_common(tile.VisibleInBlock(begin / tile.num_heads, block_index)),
        last(tile.VisibleInBlock((end - 1) / tile.num_heads, block_index)) {
    first_common = std::min(tile.HiddenOfRow(end - 1, block_index), last);
  }
};

// sums = sums * factors + probabilities * values, for columns [first_dim, first_dim + dims). Where some rows
// of the group see keys that others do not, the others multiply these values by 0, which is the cheapest way
// to leave them out as long as they are finite; where one is not, each row reads only what it sees.
template <typename Number>
HWY_INLINE void AddColumns(const QueryTile& tile, size_t block_index, size_t begin, size_t end,
                           const float* probabilities, const Operands<Number>& block, bool finite,
                           const SeenKeys& seen, size_t first_dim, size_t dims, const AttendState& state) {
  const size_t head_dim = tile.head_dim;
  const Number* const values = block.values + first_dim;
  Product<Number> product = {.rows = end - begin,
                             .cols = dims,
                             .depth = seen.last - seen.first,
                             .a = probabilities + seen.first,
                             .a_stride = kBlockTokens,
                             .b = values + seen.first * head_dim,
                             .b_stride = head_dim,
                             .c = state.sums + begin * head_dim + first_dim,
                             .c_stride = head_dim,
                             .factors = state.factors + begin};
  if (block.next != nullptr) product.ahead = block.next + first_dim * kBlockTokens;
  if (finite) return Multiply<false>(product);
  product.rows = 1;
  for (size_t row = begin; row < end; ++row) {
    const size_t hidden = tile.HiddenOfRow(row, block_index);
    const size_t visible = tile.VisibleInBlock(row / tile.num_heads, block_index);
    product.depth = visible - std::min(hidden, visible);
    product.a = probabilities + (row - begin) * kBlockTokens + hidden;
    product.b = values + hidden * head_dim;
    Multiply<false>(product);
    product.c += head_dim;
    ++product.factors;
  }
}

// to = from * scales, for the first `cols` columns of [rows, 64].
HWY_INLINE void ScaleColumns(size_t rows, size_t cols, const float* HWY_RESTRICT from,
                             const uint16_t* HWY_RESTRICT scales, float* HWY_RESTRICT to) {
  for (size_t i = 0; i < cols; i += kLanes) {
    const Vec scale = LoadFloats(kTag, scales + i);
    for (size_t at = i; at < rows * kBlockTokens; at += kBlockTokens) {
      hn::StoreU(hn::Mul(hn::LoadU(kTag, from + at), scale), kTag, to + at);
    }
  }
}

template <typename Number>
HWY_INLINE void AddValues(const QueryTile& tile, size_t block_index, size_t begin, size_t end,
                          const Operands<Number>& block, const AttendState& state) {
  const size_t head_dim = tile.head_dim;
  const SeenKeys seen(tile, block_index, begin, end);
  const auto all_finite = [&seen](const auto* numbers, size_t stride) HWY_ATTR {
    return AllFinite(numbers + seen.first * stride, (seen.first_common - seen.first) * stride) &&
           AllFinite(numbers + seen.end_common * stride, (seen.last - seen.end_common) * stride);
  };
  if constexpr (!std::is_same_v<Number, int8_t>) {  // codes have scales
    if (block.value_scales == nullptr) {
      return AddColumns(tile, block_index, begin, end, state.scores, block,
                        all_finite(block.values, head_dim), seen, 0, head_dim, state);
    }
  }
  const uint16_t* scales = block.value_scales;
  for (size_t d = 0; d < head_dim; d += kScaleGroup, scales += kBlockTokens) {
    ScaleColumns(end - begin, WholeVectors(seen.last), state.scores, scales, state.scaled);
    AddColumns(tile, block_index, begin, end, state.scaled, block, all_finite(scales, 1), seen, d,
               std::min(kScaleGroup, head_dim - d), state);
  }
}

template <typename Number>
HWY_INLINE void AttendTo(const QueryTile& tile, const RotaryAngles& rotary, const Operands<Number>& block,
                         size_t block_index, const AttendState& state) {
  const size_t num_rows = tile.num_rows();
  const float* queries = QueriesAt(tile, rotary, block_index, state.queries, state.rotated);
  for (size_t begin = 0; begin < num_rows; begin += kGroupRows) {
    const size_t end = std::min(num_rows, begin + kGroupRows);
    const size_t visible = tile.VisibleInBlock((end - 1) / tile.num_heads, block_index);
    if (tile.HiddenOfRow(begin, block_index) >= visible) continue;  // none sees a key here
    const size_t cols = WholeVectors(visible);
    ComputeScores(tile, queries, begin, end, cols, block, state.scores);
    if (tile.HiddenOfRow(end - 1, block_index) > 0) {
      SoftmaxRowsInWindow(tile, block_index, begin, end, cols, state);
    } else {
      SoftmaxRows(tile, block_index, begin, end, cols, state);
    }
    AddValues(tile, block_index, begin, end, block, state);
  }
}

void AttendToBlockImpl(const QueryTile& tile, const RotaryAngles& rotary, const KvBlock& block,
                       size_t block_index, const AttendState& state) {
  AttendTo(tile, rotary, Operands<float>{block.keys, block.key_stride, block.values}, block_index, state);
}

template <typename Number>
HWY_INLINE void Widen(const Number* HWY_RESTRICT from, size_t count, float* HWY_RESTRICT to) {
  ForVectors(0, count,
             [&](auto tag, size_t i) HWY_ATTR { hn::StoreU(LoadFloats(tag, from + i), tag, to + i); });
}

// A few rows take the numbers as they are, and memory is read while they are used. For more, widening once
// costs less than widening for each tile of registers.
template <typename Number>
HWY_INLINE void AttendToNarrow(const QueryTile& tile, const RotaryAngles& rotary,
                               const Operands<Number>& block, const KvBlock& scratch, size_t block_index,
                               const AttendState& state) {
  if (tile.num_rows() <= kGroupRows) return AttendTo(tile, rotary, block, block_index, state);
  Widen(block.keys, tile.head_dim * kBlockTokens, scratch.keys);
  Widen(block.values, tile.VisibleInBlock(tile.num_tokens - 1, block_index) * tile.head_dim, scratch.values);
  AttendTo(tile, rotary,
           Operands<float>{scratch.keys, kBlockTokens, scratch.values, block.key_scales, block.value_scales},
           block_index, state);
}

void AttendToHalfBlockImpl(const QueryTile& tile, const RotaryAngles& rotary, const HalfKvBlock& block,
                           const KvBlock& scratch, size_t block_index, const AttendState& state) {
  AttendToNarrow(tile, rotary,
                 Operands<uint16_t>{.keys = block.keys,
                                    .key_stride = kBlockTokens,
                                    .values = block.values,
                                    .next = static_cast<const uint16_t*>(state.next)},
                 scratch, block_index, state);
}
void AttendToInt8BlockImpl(const QueryTile& tile, const RotaryAngles& rotary, const Int8KvBlock& block,
                           const KvBlock& scratch, size_t block_index, const AttendState& state) {
  AttendToNarrow(tile, rotary,
                 Operands<int8_t>{block.keys, kBlockTokens, block.values, block.key_scales,
                                  block.value_scales, static_cast<const int8_t*>(state.next)},
                 scratch, block_index, state);
}

template <typename Number>
HWY_INLINE void MassesOf(const QueryTile& tile, const RotaryAngles& rotary, const Operands<Number>& block,
                         size_t block_index, const AttendState& state, float* masses) {
  const size_t num_rows = tile.num_rows();
  const float* queries = QueriesAt(tile, rotary, block_index, state.queries, state.rotated);
  for (size_t begin = 0; begin < num_rows; begin += kGroupRows) {
    const size_t end = std::min(num_rows, begin + kGroupRows);
    const size_t cols = WholeVectors(tile.VisibleInBlock((end - 1) / tile.num_heads, block_index));
    if (cols > 0) ComputeScores(tile, queries, begin, end, cols, block, state.scores);
    for (size_t row = begin; row < end; ++row) {
      const size_t token = row / tile.num_heads;
      HWY_ALIGN float totals[16] = {};
      float shift = -std::numeric_limits<float>::infinity(), factor = 1;
      SoftmaxRow<true>(state.scores + (row - begin) * kBlockTokens, tile.HiddenInBlock(token, block_index),
                       tile.VisibleInBlock(token, block_index), cols, shift, factor, totals);
      masses[row] = shift + std::log2(Sum(hn::Load(kTag, totals)));
    }
  }
}

template <typename Number>
HWY_INLINE void MassesOfNarrow(const QueryTile& tile, const RotaryAngles& rotary,
                               const Operands<Number>& block, const KvBlock& scratch, size_t block_index,
                               const AttendState& state, float* masses) {
  if (tile.num_rows() <= kGroupRows) return MassesOf(tile, rotary, block, block_index, state, masses);
  Widen(block.keys, tile.head_dim * kBlockTokens, scratch.keys);
  MassesOf(tile, rotary, Operands<float>{scratch.keys, kBlockTokens, nullptr, block.key_scales}, block_index,
           state, masses);
}

void KeyMassesImpl(const QueryTile& tile, const RotaryAngles& rotary, const KvBlock& block,
                   size_t block_index, const AttendState& state, float* masses) {
  MassesOf(tile, rotary, Operands<float>{block.keys, block.key_stride, nullptr}, block_index, state, masses);
}
void KeyMassesOfHalfImpl(const QueryTile& tile, const RotaryAngles& rotary, const HalfKvBlock& block,
                         const KvBlock& scratch, size_t block_index, const AttendState& state,
                         float* masses) {
  MassesOfNarrow(tile, rotary,
                 Operands<uint16_t>{.keys = block.keys,
                                    .key_stride = kBlockTokens,
                                    .values = nullptr,
                                    .next = static_cast<const uint16_t*>(state.next)},
                 scratch, block_index, state, masses);
}
void KeyMassesOfInt8Impl(const QueryTile& tile, const RotaryAngles& rotary, const Int8KvBlock& block,
                         const KvBlock& scratch, size_t block_index, const AttendState& state,
                         float* masses) {
  MassesOfNarrow(tile, rotary,
                 Operands<int8_t>{.keys = block.keys,
                                  .key_stride = kBlockTokens,
                                  .values = nullptr,
                                  .key_scales = block.key_scales,
                                  .next = static_cast<const int8_t*>(state.next)},
                 scratch, block_index, state, masses);
}

void StoreOutputsImpl(const QueryTile& tile, const AttendState& state, HeadRows<float> outputs,
                      HeadRows<float> log_sums) {
  const size_t head_dim = tile.head_dim;
  size_t row = 0;
  for (size_t t = 0; t < tile.num_tokens; ++t) {
    for (size_t g = 0; g < tile.num_heads; ++g, ++row) {
      const float total = Sum(hn::LoadU(kTag, state.totals + row * 16));
      const float inverse = 1 / total;
      const float* from = state.sums + row * head_dim;
      float* to = outputs.data + t * outputs.stride + g * head_dim;
      ForVectors(0, head_dim, [&](auto tag, size_t i) HWY_ATTR {
        hn::StoreU(hn::Mul(hn::LoadU(tag, from + i), hn::Set(tag, inverse)), tag, to + i);
      });
      if (log_sums.data != nullptr) {
        log_sums.data[t * log_sums.stride + g] = state.shifts[row] + std::log2(total);
      }
    }
  }
}

void Exp2Impl(size_t count, const float* x, float* y) {
  ForVectors(0, count,
             [&](auto tag, size_t i) HWY_ATTR { hn::StoreU(Exp2(tag, hn::LoadU(tag, x + i)), tag, y + i); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qwen25 {
namespace {

HWY_EXPORT(StoreKeysAndValuesImpl);
HWY_EXPORT(LoadQueriesImpl);
HWY_EXPORT(AttendToBlockImpl);
HWY_EXPORT(KeyMassesImpl);
HWY_EXPORT(KeyMassesOfHalfImpl);
HWY_EXPORT(KeyMassesOfInt8Impl);
HWY_EXPORT(StoreOutputsImpl);
HWY_EXPORT(AttendToHalfBlockImpl);
HWY_EXPORT(AttendToInt8BlockImpl);
HWY_EXPORT(Exp2Impl);

}  // namespace

void StoreKeysAndValues(const RotaryAngles& rotary, HeadRows<const float> keys, HeadRows<const float> values,
                        size_t num_tokens, size_t first_offset, const KvBlock& block, float* scratch) {
  HWY_DYNAMIC_DISPATCH(StoreKeysAndValuesImpl)
  (rotary, keys, values, num_tokens, first_offset, block, scratch);
}
void LoadQueries(const QueryTile& tile, const RotaryAngles& rotary, HeadRows<const float> queries,
                 float scale, const AttendState& state) {
  HWY_DYNAMIC_DISPATCH(LoadQueriesImpl)(tile, rotary, queries, scale, state);
}
void AttendToBlock(const QueryTile& tile, const RotaryAngles& rotary, const KvBlock& block,
                   size_t block_index, const AttendState& state) {
  HWY_DYNAMIC_DISPATCH(AttendToBlockImpl)(tile, rotary, block, block_index, state);
}
void AttendToBlock(const QueryTile& tile, const RotaryAngles& rotary, const HalfKvBlock& block,
                   const KvBlock& scratch, size_t block_index, const AttendState& state) {
  HWY_DYNAMIC_DISPATCH(AttendToHalfBlockImpl)(tile, rotary, block, scratch, block_index, state);
}
void AttendToBlock(const QueryTile& tile, const RotaryAngles& rotary, const Int8KvBlock& block,
                   const KvBlock& scratch, size_t block_index, const AttendState& state) {
  HWY_DYNAMIC_DISPATCH(AttendToInt8BlockImpl)(tile, rotary, block, scratch, block_index, state);
}
void KeyMasses(const QueryTile& tile, const RotaryAngles& rotary, const KvBlock& block, size_t block_index,
               const AttendState& state, float* masses) {
  HWY_DYNAMIC_DISPATCH(KeyMassesImpl)(tile, rotary, block, block_index, state, masses);
}
void KeyMasses(const QueryTile& tile, const RotaryAngles& rotary, const HalfKvBlock& block,
               const KvBlock& scratch, size_t block_index, const AttendState& state, float* masses) {
  HWY_DYNAMIC_DISPATCH(KeyMassesOfHalfImpl)(tile, rotary, block, scratch, block_index, state, masses);
}
void KeyMasses(const QueryTile& tile, const RotaryAngles& rotary, const Int8KvBlock& block,
               const KvBlock& scratch, size_t block_index, const AttendState& state, float* masses) {
  HWY_DYNAMIC_DISPATCH(KeyMassesOfInt8Impl)(tile, rotary, block, scratch, block_index, state, masses);
}
void StoreOutputs(const QueryTile& tile, const AttendState& state, HeadRows<float> outputs,
                  HeadRows<float> log_sums) {
  HWY_DYNAMIC_DISPATCH(StoreOutputsImpl)(tile, state, outputs, log_sums);
}
void PowersOfTwo(size_t count, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(Exp2Impl)(count, x, y);
}

}  // namespace qwen25
#endif  // HWY_ONCE
