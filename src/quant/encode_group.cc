#include "quant/encode_group.h"

#include <algorithm>
#include <cmath>

#include "base/dtype.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/encode_group.cc"
#include <hwy/foreach_target.h>
// Highway's header must come after foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

constexpr hn::CappedTag<float, 16> kTag;
using Vec = hn::Vec<decltype(kTag)>;
constexpr size_t kLanes = hn::MaxLanes(kTag);
constexpr size_t kVecs = kQuantGroup / kLanes;

struct Group {
  Vec w[kVecs];
};

HWY_INLINE Group LoadGroup(const float* w) {
  Group group;
#pragma GCC unroll 8
  for (size_t v = 0; v < kVecs; ++v) group.w[v] = hn::LoadU(kTag, w + v * kLanes);
  return group;
}

HWY_INLINE float GreatestMagnitude(const Group& group) {
  Vec greatest = hn::Zero(kTag);
#pragma GCC unroll 8
  for (size_t v = 0; v < kVecs; ++v) greatest = hn::Max(greatest, hn::Abs(group.w[v]));
  return hn::GetLane(hn::MaxOfLanes(kTag, greatest));
}

// round(w * inverse), at most `low` .. `high`.
HWY_INLINE Vec Codes(Vec w, Vec inverse, float low, float high) {
  const Vec rounded = hn::Round(hn::Mul(w, inverse));
  return hn::Min(hn::Max(rounded, hn::Set(kTag, low)), hn::Set(kTag, high));
}

// Writes the codes for the scale as float16 rounds it.
HWY_INLINE void StoreGroup(const Group& group, float scale, float low, float high, float offset,
                           EncodedGroup& out) {
  out.scale = FloatToFloat16(scale);
  const float rounded = Float16ToFloat(out.scale);
  const Vec inverse = hn::Set(kTag, rounded == 0 ? 0 : 1 / rounded);
  constexpr hn::Rebind<uint8_t, decltype(kTag)> kByteTag;
#pragma GCC unroll 8
  for (size_t v = 0; v < kVecs; ++v) {
    const Vec codes = hn::Add(Codes(group.w[v], inverse, low, high), hn::Set(kTag, offset));
    hn::StoreU(hn::DemoteTo(kByteTag, hn::NearestInt(codes)), kByteTag, out.codes + v * kLanes);
  }
}

void EncodeInt8Impl(const float* w, EncodedGroup& out) {
  const Group group = LoadGroup(w);
  StoreGroup(group, GreatestMagnitude(group) / 127, -127, 127, 128, out);
}

void EncodeInt4Impl(const float* w, EncodedGroup& out) {
  const Group group = LoadGroup(w);
  const float max = GreatestMagnitude(group);
  // -8 is the code of greatest magnitude: it goes to the weight of greatest magnitude, whatever its sign.
  float sign = -1;
  for (size_t i = 0; i < kQuantGroup; ++i) {
    if (std::fabs(w[i]) == max) {
      sign = w[i] > 0 ? -1.0f : 1.0f;
      break;
    }
  }
  // With codes q the scale of least squared error is (w q) / (q q).
  const Vec inverse = hn::Set(kTag, max > 0 ? sign * 8 / max : 0);
  Vec wq = hn::Zero(kTag), qq = hn::Zero(kTag);
#pragma GCC unroll 8
  for (size_t v = 0; v < kVecs; ++v) {
    const Vec q = Codes(group.w[v], inverse, -8, 7);
    wq = hn::MulAdd(group.w[v], q, wq);
    qq = hn::MulAdd(q, q, qq);
  }
  const float dot = hn::GetLane(hn::SumOfLanes(kTag, wq)), norm = hn::GetLane(hn::SumOfLanes(kTag, qq));
  StoreGroup(group, norm > 0 ? dot / norm : 0, -8, 7, 8, out);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qwen25 {
namespace {

HWY_EXPORT(EncodeInt8Impl);
HWY_EXPORT(EncodeInt4Impl);

}  // namespace

void EncodeInt8(const float* w, EncodedGroup& out) {
  HWY_DYNAMIC_DISPATCH(EncodeInt8Impl)(w, out);
}
void EncodeInt4(const float* w, EncodedGroup& out) {
  HWY_DYNAMIC_DISPATCH(EncodeInt4Impl)(w, out);
}

void EncodeInt4Minimum(const float* w, EncodedGroup& out) {
  const auto [low, high] = std::minmax_element(w, w + kQuantGroup);
  out.minimum = FloatToFloat16(*low);
  const float minimum = Float16ToFloat(out.minimum);
  out.scale = FloatToFloat16((*high - minimum) / 15);
  const float scale = Float16ToFloat(out.scale);
  const float inverse = scale > 0 ? 1 / scale : 0;
  for (size_t i = 0; i < kQuantGroup; ++i) {
    out.codes[i] = static_cast<uint8_t>(std::clamp(std::round((w[i] - minimum) * inverse), 0.0f, 15.0f));
  }
}

}  // namespace qwen25
#endif  // HWY_ONCE
