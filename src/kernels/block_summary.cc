#include "kernels/block_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/dtype.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/block_summary.cc"
#include <hwy/foreach_target.h>
// Headers that use Highway must come after foreach_target.h.
#include <hwy/highway.h>

#include "kernels/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE float Sum(Vec x) {
  return hn::GetLane(hn::SumOfLanes(kTag, x));
}

// The least float16 that is at least `value`.
HWY_INLINE uint16_t RoundUp(float value) {
  const uint16_t rounded = FloatToFloat16(value);
  return Float16ToFloat(rounded) < value ? static_cast<uint16_t>(rounded + 1) : rounded;
}

// load(dimension, token): a vector of keys.
template <class Load>
HWY_INLINE void Summarize(size_t head_dim, const Load& load, size_t lane, uint16_t* panel) {
  const size_t half = head_dim / 2;
  uint16_t *radii = panel + head_dim * kPanelBlocks, *variances = radii + half * kPanelBlocks;
  for (size_t i = 0; i < half; ++i) {
    Vec sum_x = hn::Zero(kTag), sum_y = hn::Zero(kTag);
    for (size_t t = 0; t < kBlockTokens; t += kLanes) {
      sum_x = hn::Add(sum_x, load(i, t));
      sum_y = hn::Add(sum_y, load(i + half, t));
    }
    const uint16_t mean_x = FloatToFloat16(Sum(sum_x) / kBlockTokens);
    const uint16_t mean_y = FloatToFloat16(Sum(sum_y) / kBlockTokens);
    const Vec center_x = hn::Set(kTag, Float16ToFloat(mean_x));
    const Vec center_y = hn::Set(kTag, Float16ToFloat(mean_y));
    Vec greatest = hn::Zero(kTag), sum = hn::Zero(kTag);
    for (size_t t = 0; t < kBlockTokens; t += kLanes) {
      const Vec dx = hn::Sub(load(i, t), center_x);
      const Vec dy = hn::Sub(load(i + half, t), center_y);
      const Vec square = hn::MulAdd(dy, dy, hn::Mul(dx, dx));
      greatest = hn::Max(greatest, square);
      sum = hn::Add(sum, square);
    }
    panel[i * kPanelBlocks + lane] = mean_x;
    panel[(i + half) * kPanelBlocks + lane] = mean_y;
    radii[i * kPanelBlocks + lane] = RoundUp(std::sqrt(hn::GetLane(hn::MaxOfLanes(kTag, greatest))));
    variances[i * kPanelBlocks + lane] = FloatToFloat16(Sum(sum) / (2 * kBlockTokens));
  }
}

// With the blocks' means c_b, radii r_b and variances v_b around the mean c of the c_b: a key is at most
// |c_b - c| + r_b away, and its variance is the mean of v_b + |c_b - c|^2 / 2.
void SummarizePanelImpl(size_t head_dim, const uint16_t* panel, size_t lane, uint16_t* super_panel) {
  const size_t half = head_dim / 2;
  const auto row = [&](size_t i) { return panel + i * kPanelBlocks; };
  const auto to = [&](size_t i) -> uint16_t& { return super_panel[i * kPanelBlocks + lane]; };
  for (size_t i = 0; i < half; ++i) {
    Vec sum_x = hn::Zero(kTag), sum_y = hn::Zero(kTag);
    for (size_t b = 0; b < kPanelBlocks; b += kLanes) {
      sum_x = hn::Add(sum_x, LoadFloats(kTag, row(i) + b));
      sum_y = hn::Add(sum_y, LoadFloats(kTag, row(i + half) + b));
    }
    to(i) = FloatToFloat16(Sum(sum_x) / kPanelBlocks);
    to(i + half) = FloatToFloat16(Sum(sum_y) / kPanelBlocks);
    const Vec center_x = hn::Set(kTag, Float16ToFloat(to(i)));
    const Vec center_y = hn::Set(kTag, Float16ToFloat(to(i + half)));
    Vec greatest = hn::Zero(kTag), sum = hn::Zero(kTag);
    for (size_t b = 0; b < kPanelBlocks; b += kLanes) {
      const Vec dx = hn::Sub(LoadFloats(kTag, row(i) + b), center_x);
      const Vec dy = hn::Sub(LoadFloats(kTag, row(i + half) + b), center_y);
      const Vec square = hn::MulAdd(dy, dy, hn::Mul(dx, dx));
      greatest = hn::Max(greatest, hn::Add(hn::Sqrt(square), LoadFloats(kTag, row(head_dim + i) + b)));
      sum = hn::Add(sum,
                    hn::MulAdd(hn::Set(kTag, 0.5f), square, LoadFloats(kTag, row(head_dim + half + i) + b)));
    }
    to(head_dim + i) = RoundUp(hn::GetLane(hn::MaxOfLanes(kTag, greatest)) * (1 + 0x1p-20f));
    to(head_dim + half + i) = FloatToFloat16(Sum(sum) / kPanelBlocks);
  }
}

template <typename Number>
HWY_INLINE void SummarizeKeys(size_t head_dim, const Number* keys, size_t lane, uint16_t* panel) {
  const auto load = [&](size_t d, size_t t)
                        HWY_ATTR { return LoadFloats(kTag, keys + d * kBlockTokens + t); };
  Summarize(head_dim, load, lane, panel);
}

void SummarizeBlockImpl(size_t head_dim, const KvBlock& block, size_t lane, uint16_t* panel) {
  SummarizeKeys(head_dim, block.keys, lane, panel);
}
void SummarizeHalfBlockImpl(size_t head_dim, const HalfKvBlock& block, size_t lane, uint16_t* panel) {
  SummarizeKeys(head_dim, block.keys, lane, panel);
}
void SummarizeInt8BlockImpl(size_t head_dim, const Int8KvBlock& block, size_t lane, uint16_t* panel) {
  const auto load = [&](size_t d, size_t t) HWY_ATTR {
    const uint16_t* scales = block.key_scales + d / Int8KvBlock::kGroup * kBlockTokens;
    return hn::Mul(LoadFloats(kTag, block.keys + d * kBlockTokens + t), LoadFloats(kTag, scales + t));
  };
  Summarize(head_dim, load, lane, panel);
}

void LoadScoreQueriesImpl(size_t head_dim, size_t num_rows, const float* queries,
                          const BlockScoreState& state) {
  const size_t half = head_dim / 2;
  for (size_t row = 0; row < num_rows; ++row) {
    const float *x = queries + row * head_dim, *y = x + half;
    float *lengths = state.lengths + row * half, *energies = state.energies + row * half;
    ForVectors(0, half, [&](auto tag, size_t i) HWY_ATTR {
      const auto a = hn::LoadU(tag, x + i), b = hn::LoadU(tag, y + i);
      const auto square = hn::MulAdd(b, b, hn::Mul(a, a));
      hn::StoreU(hn::Sqrt(square), tag, lengths + i);
      hn::StoreU(hn::Mul(square, hn::Set(tag, kLn2 / 2)), tag, energies + i);
    });
  }
}

// Means of a panel as the queries of a block see them: q rotated by a distance, times c, is q times c rotated
// back by it. Each column has its own distance.
HWY_INLINE void RotateMeans(const RotaryAngles& rotary, size_t query_block, size_t first_block, size_t cols,
                            const uint16_t* HWY_RESTRICT panel, float* HWY_RESTRICT rotated) {
  const size_t half = rotary.head_dim / 2;
  const size_t first_angle = rotary.DescendingIndex(query_block, first_block);
  for (size_t i = 0; i < half; ++i) {
    const float* cos = rotary.descending_cos + i * rotary.descending_stride + first_angle;
    const float* sin = rotary.descending_sin + i * rotary.descending_stride + first_angle;
    const uint16_t *xs = panel + i * kPanelBlocks, *ys = panel + (i + half) * kPanelBlocks;
    float *to_x = rotated + i * kPanelBlocks, *to_y = rotated + (i + half) * kPanelBlocks;
    for (size_t j = 0; j < cols; j += kLanes) {
      const Vec c = hn::LoadU(kTag, cos + j), s = hn::LoadU(kTag, sin + j);
      const Vec x = LoadFloats(kTag, xs + j), y = LoadFloats(kTag, ys + j);
      hn::StoreU(hn::MulAdd(y, s, hn::Mul(x, c)), kTag, to_x + j);
      hn::StoreU(hn::NegMulAdd(x, s, hn::Mul(y, c)), kTag, to_y + j);
    }
  }
}

constexpr float kGreatestScore = 30000;

HWY_INLINE void LimitScores(size_t num_rows, size_t cols, ScoreRows scores) {
  const Vec greatest = hn::Set(kTag, kGreatestScore);
  for (size_t row = 0; row < num_rows; ++row) {
    float* data = scores.data + row * scores.stride;
    for (size_t j = 0; j < cols; j += kLanes) {
      const Vec score = hn::LoadU(kTag, data + j);
      // False for NaN.
      hn::StoreU(hn::IfThenElse(hn::Lt(score, greatest), score, greatest), kTag, data + j);
    }
  }
}

void ScorePanelImpl(const RotaryAngles& rotary, size_t num_rows, size_t query_block, size_t first_block,
                    size_t num_blocks, const uint16_t* panel, BlockScore kind, const float* queries,
                    const BlockScoreState& state, ScoreRows scores, ScoreRows bounds) {
  const size_t head_dim = rotary.head_dim, half = head_dim / 2, cols = WholeVectors(num_blocks);
  if (query_block >= first_block + num_blocks - 1 + rotary.max_distance) {
    // All at one distance: turning the queries takes less than turning the means, above all for a few rows.
    const BlockAngles angles = AnglesBetween(rotary, rotary.max_distance, 0);
    for (size_t row = 0; row < num_rows; ++row) {
      RotateRow<false>(head_dim, angles.cos, angles.sin, angles.sign, queries + row * head_dim,
                       state.rotated + row * head_dim);
    }
    Multiply<false>(Product<uint16_t>{.rows = num_rows,
                                      .cols = cols,
                                      .depth = head_dim,
                                      .a = state.rotated,
                                      .a_stride = head_dim,
                                      .b = panel,
                                      .b_stride = kPanelBlocks,
                                      .c = scores.data,
                                      .c_stride = scores.stride});
  } else {
    RotateMeans(rotary, query_block, first_block, cols, panel, state.rotated);
    Multiply<false>(Product<float>{.rows = num_rows,
                                   .cols = cols,
                                   .depth = head_dim,
                                   .a = queries,
                                   .a_stride = head_dim,
                                   .b = state.rotated,
                                   .b_stride = kPanelBlocks,
                                   .c = scores.data,
                                   .c_stride = scores.stride});
  }
  const uint16_t* radii = panel + head_dim * kPanelBlocks;
  // Adds what the spread of the keys adds to the mean.
  const auto add_spread = [&](const float* features, const uint16_t* spread, ScoreRows to) {
    Multiply<false>(Product<uint16_t>{.rows = num_rows,
                                      .cols = cols,
                                      .depth = half,
                                      .a = features,
                                      .a_stride = half,
                                      .b = spread,
                                      .b_stride = kPanelBlocks,
                                      .c = to.data,
                                      .c_stride = to.stride,
                                      .add = true});
    LimitScores(num_rows, cols, to);
  };
  if (bounds.data != nullptr) {
    for (size_t row = 0; row < num_rows; ++row) {
      std::copy_n(scores.data + row * scores.stride, cols, bounds.data + row * bounds.stride);
    }
    add_spread(state.lengths, radii, bounds);
  }
  switch (kind) {
    case BlockScore::kMean:
      LimitScores(num_rows, cols, scores);
      break;
    case BlockScore::kBound:
      add_spread(state.lengths, radii, scores);
      break;
    case BlockScore::kVariance:
      add_spread(state.energies, radii + half * kPanelBlocks, scores);
      break;
  }
}

constexpr float kLog2BlockTokens = 6;
static_assert(size_t{1} << 6 == kBlockTokens);

float BlockSharesImpl(size_t num_heads, size_t num_blocks, ScoreRows scores, const float* read_logs,
                      float* HWY_RESTRICT shares) {
  const size_t cols = WholeVectors(num_blocks);
  for (size_t j = 0; j < cols; j += kLanes) hn::StoreU(hn::Zero(kTag), kTag, shares + j);
  float read_share = 0;
  for (size_t g = 0; g < num_heads; ++g) {
    float* row = scores.data + g * scores.stride;
    for (size_t j = num_blocks; j < cols; ++j) row[j] = -std::numeric_limits<float>::infinity();
    Vec greatest = hn::Set(kTag, read_logs[g] - kLog2BlockTokens);
    for (size_t j = 0; j < cols; j += kLanes) greatest = hn::Max(greatest, hn::LoadU(kTag, row + j));
    const float shift = hn::GetLane(hn::MaxOfLanes(kTag, greatest));
    const Vec shifts = hn::Set(kTag, shift);
    Vec sum = hn::Zero(kTag);
    for (size_t j = 0; j < cols; j += kLanes) {
      const Vec p = Exp2(kTag, hn::Sub(hn::LoadU(kTag, row + j), shifts));
      hn::StoreU(p, kTag, row + j);
      sum = hn::Add(sum, p);
    }
    const float read = std::exp2(read_logs[g] - kLog2BlockTokens - shift);
    const float inverse = 1 / ((read + Sum(sum)) * static_cast<float>(num_heads));
    read_share += read * inverse;
    const Vec factor = hn::Set(kTag, inverse);
    for (size_t j = 0; j < cols; j += kLanes) {
      const Vec share = hn::Mul(hn::LoadU(kTag, row + j), factor);
      hn::StoreU(share, kTag, row + j);
      hn::StoreU(hn::Add(share, hn::LoadU(kTag, shares + j)), kTag, shares + j);
    }
  }
  return read_share;
}

void WeighSharesImpl(size_t num_heads, size_t num_blocks, ScoreRows scores, const float* weights,
                     float* HWY_RESTRICT shares) {
  const size_t cols = WholeVectors(num_blocks);
  for (size_t j = 0; j < cols; j += kLanes) {
    Vec sum = hn::Zero(kTag);
    for (size_t g = 0; g < num_heads; ++g) {
      sum = hn::MulAdd(hn::Set(kTag, weights[g]), hn::LoadU(kTag, scores.data + g * scores.stride + j), sum);
    }
    hn::StoreU(sum, kTag, shares + j);
  }
}

HWY_INLINE float TotalOf(const AttendState& state, size_t row) {
  return Sum(hn::LoadU(kTag, state.totals + row * 16));
}

void SaveOutputsImpl(size_t head_dim, size_t num_rows, const AttendState& state,
                     const AttendSnapshot& snapshot) {
  for (size_t row = 0; row < num_rows; ++row) {
    const float total = TotalOf(state, row), inverse = 1 / total;
    const float* from = state.sums + row * head_dim;
    float* to = snapshot.outputs + row * head_dim;
    ForVectors(0, head_dim, [&](auto tag, size_t i) HWY_ATTR {
      hn::StoreU(hn::Mul(hn::LoadU(tag, from + i), hn::Set(tag, inverse)), tag, to + i);
    });
    snapshot.logs[row] = state.shifts[row] + std::log2(total);
  }
}

void NoveltiesImpl(size_t head_dim, size_t first_row, size_t count, const AttendSnapshot& snapshot,
                   const AttendState& state, float* novelties) {
  for (size_t i = 0; i < count; ++i) {
    const size_t row = first_row + i;
    const float total = TotalOf(state, row), inverse = 1 / total;
    const float *before = snapshot.outputs + row * head_dim, *sums = state.sums + row * head_dim;
    Vec difference = hn::Zero(kTag), square = hn::Zero(kTag);
    size_t d = 0;
    for (; d + kLanes <= head_dim; d += kLanes) {
      const Vec now = hn::Mul(hn::LoadU(kTag, sums + d), hn::Set(kTag, inverse));
      const Vec change = hn::Sub(now, hn::LoadU(kTag, before + d));
      difference = hn::MulAdd(change, change, difference);
      square = hn::MulAdd(now, now, square);
    }
    float difference_sum = Sum(difference), square_sum = Sum(square);
    for (; d < head_dim; ++d) {
      const float now = sums[d] * inverse, change = now - before[d];
      difference_sum += change * change;
      square_sum += now * now;
    }
    // The share of what was read since: 1 - Z / Z'.
    const float share = 1 - std::exp2(snapshot.logs[row] - state.shifts[row] - std::log2(total));
    const float novelty = std::sqrt(difference_sum / square_sum) / share;
    novelties[i] = novelty >= 0 && novelty < 1 ? novelty : 1.0f;
  }
}

void ReadLogsImpl(const AttendState& state, size_t first_row, size_t count, float* read_logs) {
  for (size_t i = 0; i < count; ++i) {
    const size_t row = first_row + i;
    read_logs[i] = state.shifts[row] + std::log2(TotalOf(state, row));
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qwen25 {
namespace {

HWY_EXPORT(SummarizeBlockImpl);
HWY_EXPORT(SummarizeHalfBlockImpl);
HWY_EXPORT(SummarizeInt8BlockImpl);
HWY_EXPORT(SummarizePanelImpl);
HWY_EXPORT(LoadScoreQueriesImpl);
HWY_EXPORT(ScorePanelImpl);
HWY_EXPORT(BlockSharesImpl);
HWY_EXPORT(WeighSharesImpl);
HWY_EXPORT(SaveOutputsImpl);
HWY_EXPORT(NoveltiesImpl);
HWY_EXPORT(ReadLogsImpl);

}  // namespace

void SummarizeBlock(size_t head_dim, const KvBlock& block, size_t lane, uint16_t* panel) {
  HWY_DYNAMIC_DISPATCH(SummarizeBlockImpl)(head_dim, block, lane, panel);
}
void SummarizeBlock(size_t head_dim, const HalfKvBlock& block, size_t lane, uint16_t* panel) {
  HWY_DYNAMIC_DISPATCH(SummarizeHalfBlockImpl)(head_dim, block, lane, panel);
}
void SummarizeBlock(size_t head_dim, const Int8KvBlock& block, size_t lane, uint16_t* panel) {
  HWY_DYNAMIC_DISPATCH(SummarizeInt8BlockImpl)(head_dim, block, lane, panel);
}
void SummarizePanel(size_t head_dim, const uint16_t* panel, size_t lane, uint16_t* super_panel) {
  HWY_DYNAMIC_DISPATCH(SummarizePanelImpl)(head_dim, panel, lane, super_panel);
}
void LoadScoreQueries(size_t head_dim, size_t num_rows, const float* queries, const BlockScoreState& state) {
  HWY_DYNAMIC_DISPATCH(LoadScoreQueriesImpl)(head_dim, num_rows, queries, state);
}
void ScorePanel(const RotaryAngles& rotary, size_t num_rows, size_t query_block, size_t first_block,
                size_t num_blocks, const uint16_t* panel, BlockScore kind, const float* queries,
                const BlockScoreState& state, ScoreRows scores, ScoreRows bounds) {
  HWY_DYNAMIC_DISPATCH(ScorePanelImpl)
  (rotary, num_rows, query_block, first_block, num_blocks, panel, kind, queries, state, scores, bounds);
}
float BlockShares(size_t num_heads, size_t num_blocks, ScoreRows scores, const float* read_logs,
                  float* shares) {
  return HWY_DYNAMIC_DISPATCH(BlockSharesImpl)(num_heads, num_blocks, scores, read_logs, shares);
}
void WeighShares(size_t num_heads, size_t num_blocks, ScoreRows scores, const float* weights, float* shares) {
  HWY_DYNAMIC_DISPATCH(WeighSharesImpl)(num_heads, num_blocks, scores, weights, shares);
}
void SaveOutputs(size_t head_dim, size_t num_rows, const AttendState& state, const AttendSnapshot& snapshot) {
  HWY_DYNAMIC_DISPATCH(SaveOutputsImpl)(head_dim, num_rows, state, snapshot);
}
void Novelties(size_t head_dim, size_t first_row, size_t count, const AttendSnapshot& snapshot,
               const AttendState& state, float* novelties) {
  HWY_DYNAMIC_DISPATCH(NoveltiesImpl)(head_dim, first_row, count, snapshot, state, novelties);
}
void ReadLogs(const AttendState& state, size_t first_row, size_t count, float* read_logs) {
  HWY_DYNAMIC_DISPATCH(ReadLogsImpl)(state, first_row, count, read_logs);
}

}  // namespace qwen25
#endif  // HWY_ONCE
