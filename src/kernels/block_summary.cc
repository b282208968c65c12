#include "kernels/block_summary.h"

#include <algorithm>
#include <cmath>

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

// The least float16 that is at least `value`.
HWY_INLINE uint16_t RoundUp(float value) {
  const uint16_t rounded = FloatToFloat16(value);
  return Float16ToFloat(rounded) < value ? static_cast<uint16_t>(rounded + 1) : rounded;
}

HWY_INLINE float LaneOf(Vec x, size_t lane) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(x, kTag, lanes);
  return lanes[lane];
}

// The greatest of `count` numbers; the first where none is greater than another, or none is a number.
size_t Greatest(const float* numbers, size_t count) {
  size_t greatest = 0;
  for (size_t i = 1; i < count; ++i) {
    if (numbers[i] > numbers[greatest]) greatest = i;
  }
  return greatest;
}

// load(dimension, token): a vector of keys.
template <class Load>
HWY_INLINE void Summarize(size_t head_dim, const Load& load, size_t lane, uint16_t* panel) {
  const size_t half = head_dim / 2;
  const SummaryColumn to(head_dim, lane, panel);
  // Of the points of pair i from its mean.
  const auto square = [&](size_t i, size_t t) HWY_ATTR {
    const Vec center_x = hn::Set(kTag, Float16ToFloat(to.mean[i * kPanelBlocks]));
    const Vec center_y = hn::Set(kTag, Float16ToFloat(to.mean[(i + half) * kPanelBlocks]));
    const Vec dx = hn::Sub(load(i, t), center_x), dy = hn::Sub(load(i + half, t), center_y);
    return hn::MulAdd(dy, dy, hn::Mul(dx, dx));
  };
  HWY_ALIGN float distances[kBlockTokens] = {};
  for (size_t i = 0; i < half; ++i) {
    Vec sum_x = hn::Zero(kTag), sum_y = hn::Zero(kTag);
    for (size_t t = 0; t < kBlockTokens; t += kLanes) {
      sum_x = hn::Add(sum_x, load(i, t));
      sum_y = hn::Add(sum_y, load(i + half, t));
    }
    to.mean[i * kPanelBlocks] = FloatToFloat16(Sum(sum_x) / kBlockTokens);
    to.mean[(i + half) * kPanelBlocks] = FloatToFloat16(Sum(sum_y) / kBlockTokens);
    for (size_t t = 0; t < kBlockTokens; t += kLanes) {
      hn::Store(hn::Add(hn::Load(kTag, distances + t), square(i, t)), kTag, distances + t);
    }
  }
  const size_t outlier = Greatest(distances, kBlockTokens);
  const size_t outlier_begin = outlier / kLanes * kLanes, outlier_lane = outlier % kLanes;
  for (size_t i = 0; i < half; ++i) {
    Vec greatest = hn::Zero(kTag), sum = hn::Zero(kTag);
    for (size_t t = 0; t < kBlockTokens; t += kLanes) {
      greatest = hn::Max(greatest, square(i, t));
      sum = hn::Add(sum, square(i, t));
    }
    const float others = Sum(sum) - LaneOf(square(i, outlier_begin), outlier_lane);
    to.radius[i * kPanelBlocks] = RoundUp(std::sqrt(hn::GetLane(hn::MaxOfLanes(kTag, greatest))));
    to.variance[i * kPanelBlocks] = FloatToFloat16(std::max(others, 0.0f) / (2 * (kBlockTokens - 1)));
    for (const size_t d : {i, i + half}) {
      to.outlier[d * kPanelBlocks] = FloatToFloat16(LaneOf(load(d, outlier_begin), outlier_lane));
    }
  }
}

// With the blocks' means c_b, radii r_b and variances v_b around the mean c of the c_b: a key is at most
// |c_b - c| + r_b away, and its variance is the mean of v_b + |c_b - c|^2 / 2.
void SummarizePartImpl(size_t head_dim, const uint16_t* panel, size_t first_column, size_t lane,
                       uint16_t* super_panel) {
  const size_t half = head_dim / 2;
  const SummaryColumn from(head_dim, first_column, panel);
  const SummaryColumn to(head_dim, lane, super_panel);
  HWY_ALIGN float distances[kPartBlocks] = {};
  for (size_t i = 0; i < half; ++i) {
    const size_t x = i * kPanelBlocks, y = (i + half) * kPanelBlocks;
    Vec sum_x = hn::Zero(kTag), sum_y = hn::Zero(kTag);
    for (size_t b = 0; b < kPartBlocks; b += kLanes) {
      sum_x = hn::Add(sum_x, LoadFloats(kTag, from.mean + x + b));
      sum_y = hn::Add(sum_y, LoadFloats(kTag, from.mean + y + b));
    }
    to.mean[x] = FloatToFloat16(Sum(sum_x) / kPartBlocks);
    to.mean[y] = FloatToFloat16(Sum(sum_y) / kPartBlocks);
    const Vec center_x = hn::Set(kTag, Float16ToFloat(to.mean[x]));
    const Vec center_y = hn::Set(kTag, Float16ToFloat(to.mean[y]));
    const auto square = [&](const uint16_t* points, size_t b) HWY_ATTR {
      const Vec dx = hn::Sub(LoadFloats(kTag, points + x + b), center_x);
      const Vec dy = hn::Sub(LoadFloats(kTag, points + y + b), center_y);
      return hn::MulAdd(dy, dy, hn::Mul(dx, dx));
    };
    Vec greatest = hn::Zero(kTag), sum = hn::Zero(kTag);
    for (size_t b = 0; b < kPartBlocks; b += kLanes) {
      const Vec mean_square = square(from.mean, b);
      greatest = hn::Max(greatest, hn::Add(hn::Sqrt(mean_square), LoadFloats(kTag, from.radius + x + b)));
      sum =
          hn::Add(sum, hn::MulAdd(hn::Set(kTag, 0.5f), mean_square, LoadFloats(kTag, from.variance + x + b)));
      hn::Store(hn::Add(hn::Load(kTag, distances + b), square(from.outlier, b)), kTag, distances + b);
    }
    to.radius[x] = RoundUp(hn::GetLane(hn::MaxOfLanes(kTag, greatest)) * (1 + 0x1p-20f));
    to.variance[x] = FloatToFloat16(Sum(sum) / kPartBlocks);
  }
  const size_t outlier = Greatest(distances, kPartBlocks);
  for (size_t d = 0; d < head_dim; ++d)
    to.outlier[d * kPanelBlocks] = from.outlier[d * kPanelBlocks + outlier];
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
HWY_EXPORT(SummarizePartImpl);

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
void SummarizePart(size_t head_dim, const uint16_t* panel, size_t first_column, size_t lane,
                   uint16_t* super_panel) {
  HWY_DYNAMIC_DISPATCH(SummarizePartImpl)(head_dim, panel, first_column, lane, super_panel);
}
}  // namespace qwen25
#endif  // HWY_ONCE
