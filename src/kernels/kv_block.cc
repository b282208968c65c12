#include "kernels/kv_block.h"

#include <algorithm>
#include <bit>

#include "base/dtype.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/kv_block.cc"
#include <hwy/foreach_target.h>
// Headers that use Highway must come after foreach_target.h.
#include <hwy/highway.h>

#include "kernels/attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {

constexpr hn::Rebind<hwy::float16_t, decltype(kTag)> kHalfTag;
constexpr hn::RebindToSigned<decltype(kTag)> kIntTag;
constexpr hn::Rebind<int8_t, decltype(kTag)> kByteTag;

// Rounds to the nearest, ties to even. Where the CPU cannot convert, Highway's own way rounds otherwise.
HWY_INLINE void Narrow(const float* HWY_RESTRICT from, size_t count, uint16_t* HWY_RESTRICT to) {
  size_t i = 0;
  for (; kConvertsHalves && i + kLanes <= count; i += kLanes) {
    hn::StoreU(hn::DemoteTo(kHalfTag, hn::LoadU(kTag, from + i)), kHalfTag,
               reinterpret_cast<hwy::float16_t*>(to + i));
  }
  for (; i < count; ++i) to[i] = FloatToFloat16(from[i]);
}

void NarrowHalfSlotsImpl(size_t head_dim, size_t first, size_t count, const KvBlock& from,
                         const HalfKvBlock& to) {
  for (size_t d = 0; d < head_dim; ++d) {
    Narrow(from.keys + d * kBlockTokens + first, count, to.keys + d * kBlockTokens + first);
  }
  Narrow(from.values + first * head_dim, count * head_dim, to.values + first * head_dim);
}

constexpr size_t kGroup = Int8KvBlock::kGroup;
constexpr uint16_t kNan = 0x7e00, kExponent = 0x7c00;  // in float16

// The greatest magnitude in a group, as the bits of a float: their order is that of the magnitudes, and what
// is not finite is greatest.
HWY_INLINE int32_t GreatestMagnitude(const float* HWY_RESTRICT x) {
  auto greatest = hn::Zero(kIntTag);
  for (size_t i = 0; i < kGroup; i += kLanes) {
    greatest = hn::Max(greatest, hn::BitCast(kIntTag, hn::Abs(hn::LoadU(kTag, x + i))));
  }
  return hn::GetLane(hn::MaxOfLanes(kIntTag, greatest));
}

// Writes the codes of `count` numbers of one token, which lie `stride` apart, and returns their scale.
HWY_INLINE uint16_t Quantize(const float* HWY_RESTRICT from, size_t count, size_t stride,
                             int8_t* HWY_RESTRICT to) {
  HWY_ALIGN float x[kGroup] = {};
  HWY_ALIGN int8_t codes[kGroup];
  for (size_t i = 0; i < count; ++i) x[i] = from[i * stride];
  uint16_t scale = FloatToFloat16(std::bit_cast<float>(GreatestMagnitude(x)) / 127);
  float inverse = 1 / Float16ToFloat(scale);
  if ((scale & kExponent) == kExponent || scale == 0) {
    if (scale != 0) scale = kNan;
    inverse = 0;
    std::fill(x, x + kGroup, 0.0f);
  }
  const auto factor = hn::Set(kTag, inverse);
  const auto least = hn::Set(kIntTag, -127), most = hn::Set(kIntTag, 127);
  for (size_t i = 0; i < kGroup; i += kLanes) {
    const auto code = hn::NearestInt(hn::Mul(hn::LoadU(kTag, x + i), factor));
    hn::StoreU(hn::DemoteTo(kByteTag, hn::Min(hn::Max(code, least), most)), kByteTag, codes + i);
  }
  for (size_t i = 0; i < count; ++i) to[i * stride] = codes[i];
  return scale;
}

void NarrowInt8SlotsImpl(size_t head_dim, size_t first, size_t count, const KvBlock& from,
                         const Int8KvBlock& to) {
  for (size_t d = 0; d < head_dim; d += kGroup) {
    const size_t dims = std::min(kGroup, head_dim - d), scales = d / kGroup * kBlockTokens;
    for (size_t t = first; t < first + count; ++t) {
      const size_t key = d * kBlockTokens + t, value = t * head_dim + d;
      to.key_scales[scales + t] = Quantize(from.keys + key, dims, kBlockTokens, to.keys + key);
      to.value_scales[scales + t] = Quantize(from.values + value, dims, 1, to.values + value);
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

HWY_EXPORT(NarrowHalfSlotsImpl);
HWY_EXPORT(NarrowInt8SlotsImpl);

}  // namespace

void NarrowSlots(size_t head_dim, size_t first, size_t count, const KvBlock& from, const HalfKvBlock& to) {
  HWY_DYNAMIC_DISPATCH(NarrowHalfSlotsImpl)(head_dim, first, count, from, to);
}
void NarrowSlots(size_t head_dim, size_t first, size_t count, const KvBlock& from, const Int8KvBlock& to) {
  HWY_DYNAMIC_DISPATCH(NarrowInt8SlotsImpl)(head_dim, first, count, from, to);
}

}  // namespace qwen25
#endif  // HWY_ONCE
