// Walking a row of floats register by register, compiled once per instruction set. Included by elementwise.cc
// and encoder_rows.cc only.

#include <cstddef>
#include <cstring>

#if defined(QWEN25_KERNELS_ROW_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QWEN25_KERNELS_ROW_VECTORS_INL_H_
#undef QWEN25_KERNELS_ROW_VECTORS_INL_H_
#else
#define QWEN25_KERNELS_ROW_VECTORS_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// 16 lanes at most: every register width then sums in the same 16 chains only where it has them, and results
// are fixed per instruction set.
constexpr hn::CappedTag<float, 16> kTag;
using Vec = hn::Vec<decltype(kTag)>;
constexpr size_t kLanes = hn::MaxLanes(kTag);

// Calls full(i) for every whole register below `count`, then partial(i, n) for the n < kLanes left.
template <typename Full, typename Partial>
HWY_INLINE void ForEachVector(size_t count, const Full& full, const Partial& partial) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) full(i);
  if (i < count) partial(i, count - i);
}

// The first n lanes of memory, zeros behind.
HWY_INLINE Vec LoadFirst(const float* from, size_t n) {
  HWY_ALIGN float lanes[kLanes] = {};
  std::memcpy(lanes, from, n * sizeof(float));
  return hn::Load(kTag, lanes);
}
HWY_INLINE void StoreFirst(Vec x, size_t n, float* to) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(x, kTag, lanes);
  std::memcpy(to, lanes, n * sizeof(float));
}

HWY_INLINE float Sum(Vec x) {
  return hn::GetLane(hn::SumOfLanes(kTag, x));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
