#include "kernels/shortlist.h"

#include <algorithm>
#include <bit>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/shortlist.cc"
#include <hwy/foreach_target.h>
// Headers that use Highway must come after foreach_target.h.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::CappedTag<float, 16> kTag;
constexpr hn::RebindToUnsigned<decltype(kTag)> kPlaces;
using Vec = hn::Vec<decltype(kTag)>;
constexpr size_t kLanes = hn::MaxLanes(kTag);

constexpr float kNotANumber = std::numeric_limits<float>::infinity();  // stands for it
// As many numbers are searched for a threshold; more of them in groups.
constexpr size_t kMaxSearched = 256;

HWY_INLINE Vec Known(Vec x) {
  return hn::IfThenElse(hn::Eq(x, x), x, hn::Set(kTag, kNotANumber));
}
float Known(float x) {
  return x == x ? x : kNotANumber;
}

// A threshold from 0 up that at least `count` values reach, if so many are not negative, and few more.
HWY_INLINE float Threshold(const float* values, size_t num_values, size_t count) {
  const size_t whole = num_values / kLanes * kLanes;
  // Of positive floats, the order is that of their bits.
  uint32_t low = 0, high = std::bit_cast<uint32_t>(kNotANumber) + 1;
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    const float least = std::bit_cast<float>(middle);
    size_t reached = 0;
    for (size_t i = 0; i < whole; i += kLanes) {
      reached += hn::CountTrue(kTag, hn::Ge(Known(hn::LoadU(kTag, values + i)), hn::Set(kTag, least)));
    }
    for (size_t i = whole; i < num_values; ++i) reached += Known(values[i]) >= least;
    (reached < count ? high : low) = middle;
    if (reached >= count && reached <= count + count / 8) break;
  }
  return std::bit_cast<float>(low);
}

size_t ShortlistImpl(const float* values, size_t num_values, size_t count, uint32_t* HWY_RESTRICT order) {
  const size_t whole = num_values / kLanes * kLanes;
  const size_t group = num_values / std::max(kMaxSearched, 4 * count);
  float least = 0;
  if (group < 2) {
    least = Threshold(values, num_values, count);
  } else {
    // So many groups reach it with their greatest values. The last ones, which make no group, are passed
    // over.
    auto* greatest = reinterpret_cast<float*>(order);
    const size_t num_groups = whole / (group * kLanes) * kLanes;
    for (size_t i = 0; i < num_groups; i += kLanes) {
      Vec most = Known(hn::LoadU(kTag, values + i * group));
      for (size_t j = 1; j < group; ++j) {
        most = hn::Max(most, Known(hn::LoadU(kTag, values + i * group + j * kLanes)));
      }
      hn::StoreU(most, kTag, greatest + i);
    }
    least = Threshold(greatest, num_groups, count);
  }
  size_t size = 0;
  const Vec threshold = hn::Set(kTag, least);
  for (size_t i = 0; i < whole; i += kLanes) {
    const auto reaches = hn::RebindMask(kPlaces, hn::Ge(Known(hn::LoadU(kTag, values + i)), threshold));
    size +=
        hn::CompressBlendedStore(hn::Iota(kPlaces, static_cast<uint32_t>(i)), reaches, kPlaces, order + size);
  }
  for (size_t i = whole; i < num_values; ++i) {
    if (Known(values[i]) >= least) order[size++] = static_cast<uint32_t>(i);
  }
  return size;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qwen25 {
HWY_EXPORT(ShortlistImpl);

size_t Shortlist(const float* values, size_t num_values, size_t count, uint32_t* order) {
  return HWY_DYNAMIC_DISPATCH(ShortlistImpl)(values, num_values, count, order);
}

}  // namespace qwen25
#endif  // HWY_ONCE
