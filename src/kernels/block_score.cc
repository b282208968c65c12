#include "kernels/block_score.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/block_score.cc"
#include <hwy/foreach_target.h>
// Headers that use Highway must come after foreach_target.h.
#include <hwy/highway.h>

#include "kernels/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {

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

// Rows of panels that come from memory and are used soon, asked for row by row beside other work: the
// hardware stops looking ahead at the end of a page, and each part of a panel is about one.
struct RowsAhead {
  const uint16_t* at;  // may be null
  size_t count, cols;

  // The i-th of `num_steps` parts.
  void Ask(size_t i, size_t num_steps) const {
    if (at == nullptr) return;
    for (size_t row = count * i / num_steps; row < count * (i + 1) / num_steps; ++row) {
      for (size_t j = 0; j < cols; j += 64 / sizeof(*at)) hwy::Prefetch(at + row * kPanelBlocks + j);
    }
  }
};

// D rows of a panel, its columns turned back by the distances from `first_angle` on in the descending tables:
// q rotated by a distance, times c, is q times c rotated back by it.
HWY_INLINE void RotatePoints(const RotaryAngles& rotary, size_t first_angle, size_t cols,
                             const uint16_t* HWY_RESTRICT points, const RowsAhead& ahead,
                             float* HWY_RESTRICT rotated) {
  const size_t half = rotary.head_dim / 2;
  for (size_t i = 0; i < half; ++i) {
    ahead.Ask(i, half);
    const float* cos = rotary.descending_cos + i * rotary.descending_stride + first_angle;
    const float* sin = rotary.descending_sin + i * rotary.descending_stride + first_angle;
    const uint16_t *xs = points + i * kPanelBlocks, *ys = points + (i + half) * kPanelBlocks;
    float *to_x = rotated + i * kPanelBlocks, *to_y = rotated + (i + half) * kPanelBlocks;
    for (size_t j = 0; j < cols; j += kLanes) {
      const Vec c = hn::LoadU(kTag, cos + j), s = hn::LoadU(kTag, sin + j);
      const Vec x = LoadFloats(kTag, xs + j), y = LoadFloats(kTag, ys + j);
      hn::StoreU(hn::MulAdd(y, s, hn::Mul(x, c)), kTag, to_x + j);
      hn::StoreU(hn::NegMulAdd(x, s, hn::Mul(y, c)), kTag, to_y + j);
    }
  }
}

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

// log2(1 + x) for 0 <= x <= 1, within 1e-4 and exact at both ends.
HWY_INLINE Vec Log2OnePlus(Vec x) {
  const Vec one = hn::Set(kTag, 1.0f);
  const Vec p = hn::MulAdd(hn::MulAdd(hn::MulAdd(hn::Set(kTag, -0.04583650f), x, hn::Set(kTag, 0.15200492f)),
                                      x, hn::Set(kTag, -0.27014846f)),
                           x, hn::Set(kTag, 0.44245228f));
  return hn::Mul(x, hn::MulAdd(hn::Sub(one, x), p, one));
}

// scores = log2(2^scores + 2^(outliers + log2_weight)). A score of minus infinity stays: nothing is there.
HWY_INLINE void AddOutliers(size_t num_rows, size_t cols, const float* outliers, float log2_weight,
                            ScoreRows scores) {
  const Vec weight = hn::Set(kTag, log2_weight);
  const Vec nothing = hn::Set(kTag, -std::numeric_limits<float>::infinity());
  for (size_t row = 0; row < num_rows; ++row) {
    float* data = scores.data + row * scores.stride;
    for (size_t j = 0; j < cols; j += kLanes) {
      const Vec others = hn::LoadU(kTag, data + j);
      const Vec outlier = hn::Add(hn::LoadU(kTag, outliers + row * kPanelBlocks + j), weight);
      // Not Max and Min, which lose what is not a number on some targets.
      const auto swapped = hn::Gt(outlier, others);
      const Vec greater = hn::IfThenElse(swapped, outlier, others);
      const Vec lesser = hn::IfThenElse(swapped, others, outlier);
      const Vec ratio = Exp2(kTag, hn::Sub(lesser, greater));
      const Vec sum = hn::Add(greater, Log2OnePlus(ratio));
      hn::StoreU(hn::IfThenElse(hn::Eq(others, nothing), nothing, sum), kTag, data + j);
    }
  }
}

// Products of queries with columns: points of a panel at their distances, or its radii and variances.
class PanelProducts {
 public:
  PanelProducts(const RotaryAngles& rotary, size_t num_rows, size_t query_block, const ScoredPanel& panel,
                const float* queries, const BlockScoreState& state)
      : rotary_(rotary),
        state_(state),
        num_rows_(num_rows),
        cols_(WholeVectors(panel.num_blocks)),
        queries_(queries) {
    constexpr size_t kLast = kPanelBlocks - 1;
    if (query_block >= panel.first_block + panel.num_blocks - 1 + rotary.max_distance) {
      // All at one distance: the queries turn, the points stay as they lie.
      TurnQueries(AnglesBetween(rotary, rotary.max_distance, 0));
      turns_points_ = false;
    } else if (query_block <= panel.first_block + rotary.max_distance && kLast <= rotary.max_distance) {
      // The queries turn as far as the last column is away; the rest is the same for every panel, and its
      // angles stay in the cache.
      TurnQueries(AnglesBetween(rotary, query_block, panel.first_block + kLast));
      first_angle_ = rotary.DescendingIndex(kLast, 0);
    } else {
      first_angle_ = rotary.DescendingIndex(query_block, panel.first_block);
    }
  }

  size_t cols() const { return cols_; }

  void OfPoints(const uint16_t* points, const RowsAhead& ahead, ScoreRows to) const {
    if (!turns_points_) {
      ahead.Ask(0, 1);
      return Of<uint16_t, false>(rotary_.head_dim, queries_, points, to);
    }
    RotatePoints(rotary_, first_angle_, cols_, points, ahead, state_.points);
    Of<float, false>(rotary_.head_dim, queries_, state_.points, to);
  }
  // Adds what the spread of the keys adds to the mean.
  void AddSpread(const float* features, const uint16_t* spread, ScoreRows to) const {
    Of<uint16_t, true>(rotary_.head_dim / 2, features, spread, to);
  }

 private:
  void TurnQueries(const BlockAngles& angles) {
    const size_t head_dim = rotary_.head_dim;
    for (size_t row = 0; row < num_rows_; ++row) {
      RotateRow<false>(head_dim, angles.cos, angles.sin, angles.sign, queries_ + row * head_dim,
                       state_.queries + row * head_dim);
    }
    queries_ = state_.queries;
  }

  template <typename Number, bool kAdd>
  void Of(size_t depth, const float* rows, const Number* columns, ScoreRows to) const {
    Multiply<false>(Product<Number>{.rows = num_rows_,
                                    .cols = cols_,
                                    .depth = depth,
                                    .a = rows,
                                    .a_stride = depth,
                                    .b = columns,
                                    .b_stride = kPanelBlocks,
                                    .c = to.data,
                                    .c_stride = to.stride,
                                    .add = kAdd});
  }

  const RotaryAngles& rotary_;
  const BlockScoreState& state_;
  const size_t num_rows_, cols_;
  const float* queries_;
  size_t first_angle_ = 0;  // of the descending tables
  bool turns_points_ = true;
};

void ScorePanelImpl(const RotaryAngles& rotary, size_t num_rows, size_t query_block, const ScoredPanel& panel,
                    BlockScore kind, const float* queries, const BlockScoreState& state, ScoreRows scores,
                    ScoreRows bounds) {
  const size_t head_dim = rotary.head_dim;
  const SummaryColumn from(head_dim, 0, panel.data);
  const PanelProducts products(rotary, num_rows, query_block, panel, queries, state);
  const size_t cols = products.cols();
  const bool has_outliers = kind == BlockScore::kOutlier;
  const RowsAhead rest = {from.variance, head_dim / 2 + head_dim, cols};
  const RowsAhead next = {panel.next, head_dim, panel.next_blocks};
  products.OfPoints(from.mean, has_outliers ? rest : next, scores);
  if (bounds.data != nullptr) {
    for (size_t row = 0; row < num_rows; ++row) {
      std::copy_n(scores.data + row * scores.stride, cols, bounds.data + row * bounds.stride);
    }
    products.AddSpread(state.lengths, from.radius, bounds);
    LimitScores(num_rows, cols, bounds);
  }
  switch (kind) {
    case BlockScore::kMean:
      break;
    case BlockScore::kBound:
      products.AddSpread(state.lengths, from.radius, scores);
      break;
    case BlockScore::kOutlier:
      products.AddSpread(state.energies, from.variance, scores);
      products.OfPoints(from.outlier, next, {state.outliers, kPanelBlocks});
      AddOutliers(num_rows, cols, state.outliers,
                  -std::log2(static_cast<float>(kBlockTokens * panel.blocks_per_column)), scores);
      break;
  }
  LimitScores(num_rows, cols, scores);
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

HWY_EXPORT(LoadScoreQueriesImpl);
HWY_EXPORT(ScorePanelImpl);
HWY_EXPORT(BlockSharesImpl);
HWY_EXPORT(WeighSharesImpl);
HWY_EXPORT(SaveOutputsImpl);
HWY_EXPORT(NoveltiesImpl);
HWY_EXPORT(ReadLogsImpl);

}  // namespace

void LoadScoreQueries(size_t head_dim, size_t num_rows, const float* queries, const BlockScoreState& state) {
  HWY_DYNAMIC_DISPATCH(LoadScoreQueriesImpl)(head_dim, num_rows, queries, state);
}
void ScorePanel(const RotaryAngles& rotary, size_t num_rows, size_t query_block, const ScoredPanel& panel,
                BlockScore kind, const float* queries, const BlockScoreState& state, ScoreRows scores,
                ScoreRows bounds) {
  HWY_DYNAMIC_DISPATCH(ScorePanelImpl)
  (rotary, num_rows, query_block, panel, kind, queries, state, scores, bounds);
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
