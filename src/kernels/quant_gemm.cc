#include "kernels/quant_gemm.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/isa.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant_gemm.cc"
#include <hwy/foreach_target.h>
// Highway's header must come after foreach_target.h.
#include <hwy/highway.h>

#ifndef QWEN25_KERNELS_QUANT_GEMM_ONCE_
#define QWEN25_KERNELS_QUANT_GEMM_ONCE_
namespace qwen25 {
namespace {

// Some rows of C and one panel of its columns, as the dispatched code needs them.
struct QuantTile {
  const QuantRows* x;
  const uint8_t* panel;
  const GemmOutput* out;
  size_t row_begin, row_end;
  size_t col, num_cols;  // columns of C; fewer than kQuantPanelRows in the last panel
  float* c;              // where sums are gathered: row row_begin, column col
  size_t c_stride;
  size_t group_begin, group_end;  // of k, in this pass
};

}  // namespace
}  // namespace qwen25
#endif

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

// Without dot-product instructions: 256-bit vectors at most, multiply-add of bytes into 16 bits.
namespace plain {

constexpr bool kSignedCodes = true;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
constexpr size_t kMaxLanes = 8;
constexpr size_t kMaxRows = HWY_TARGET == HWY_AVX3 ? 4 : 2;
// No overflow of 16 bits: 2 * 15 * 127 for 4-bit codes, 2 * 128 * 127 for 8-bit ones.
template <int kBits, class V>
HWY_INLINE V SumOfQuads(V sums, V codes, V x) {
  const __m256i pairs =
      kBits == 4 ? _mm256_maddubs_epi16(codes.raw, x.raw)
                 : _mm256_maddubs_epi16(_mm256_abs_epi8(codes.raw), _mm256_sign_epi8(x.raw, codes.raw));
  return V{_mm256_add_epi32(sums.raw, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
}
#elif HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3
constexpr size_t kMaxLanes = 4;
constexpr size_t kMaxRows = 2;
template <int kBits, class V>
HWY_INLINE V SumOfQuads(V sums, V codes, V x) {
  const __m128i pairs = kBits == 4
                            ? _mm_maddubs_epi16(codes.raw, x.raw)
                            : _mm_maddubs_epi16(_mm_abs_epi8(codes.raw), _mm_sign_epi8(x.raw, codes.raw));
  return V{_mm_add_epi32(sums.raw, _mm_madd_epi16(pairs, _mm_set1_epi16(1)))};
}
#elif HWY_TARGET == HWY_NEON
constexpr size_t kMaxLanes = 4;
constexpr size_t kMaxRows = 4;
template <int kBits, class V>
HWY_INLINE V SumOfQuads(V sums, V codes, V x) {
  const int8x16_t a = vreinterpretq_s8_s32(codes.raw), b = vreinterpretq_s8_s32(x.raw);
  const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
  const int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
  return V{vaddq_s32(sums.raw, vpaddq_s32(low, high))};
}
#else  // byte by byte, for machines without vectors
constexpr size_t kMaxLanes = 4;
constexpr size_t kMaxRows = 1;
template <int kBits, class V>
HWY_INLINE V SumOfQuads(V sums, V codes, V x) {
  constexpr hn::CappedTag<int32_t, kMaxLanes> kTag;
  constexpr size_t kLanes = hn::MaxLanes(kTag);
  HWY_ALIGN int32_t total[kLanes];
  HWY_ALIGN int32_t a[kLanes], b[kLanes];
  hn::Store(sums, kTag, total);
  hn::Store(codes, kTag, a);
  hn::Store(x, kTag, b);
  int8_t a_bytes[4 * kLanes], b_bytes[4 * kLanes];
  std::memcpy(a_bytes, a, sizeof a);
  std::memcpy(b_bytes, b, sizeof b);
  for (size_t i = 0; i < 4 * kLanes; ++i) total[i / 4] += int32_t{a_bytes[i]} * b_bytes[i];
  return hn::Load(kTag, total);
}
#endif
#include "kernels/quant_gemm-inl.h"

}  // namespace plain

constexpr hn::CappedTag<float, 16> kRowTag;
constexpr size_t kRowLanes = hn::MaxLanes(kRowTag);

// One group of one row. Returns the scale, NaN if a number is not finite; *sum becomes the sum of the codes.
HWY_INLINE float QuantizeGroup(const float* HWY_RESTRICT x, int8_t* HWY_RESTRICT codes, int32_t* sum) {
  constexpr hn::RebindToSigned<decltype(kRowTag)> kIntTag;
  constexpr hn::Rebind<int8_t, decltype(kRowTag)> kByteTag;
  // The order of magnitudes is that of their bits, where what is not finite is greatest.
  constexpr int32_t kInfinity = 0x7f800000;
  auto greatest = hn::Zero(kIntTag);
#pragma GCC unroll 8
  for (size_t i = 0; i < kQuantGroup; i += kRowLanes) {
    greatest = hn::Max(greatest, hn::BitCast(kIntTag, hn::Abs(hn::LoadU(kRowTag, x + i))));
  }
  const int32_t bits = hn::GetLane(hn::MaxOfLanes(kIntTag, greatest));
  const auto max = std::bit_cast<float>(bits);
  // Also for a group too small to divide by.
  if (HWY_UNLIKELY(max < 1e-30f || bits >= kInfinity)) {
    std::memset(codes, 0, kQuantGroup);
    *sum = 0;
    return bits >= kInfinity ? NAN : 0;
  }
  const auto inverse = hn::Set(kRowTag, 127.0f / max);
  auto total = hn::Zero(kIntTag);
#pragma GCC unroll 8
  for (size_t i = 0; i < kQuantGroup; i += kRowLanes) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(kRowTag, x + i), inverse));
    total = hn::Add(total, rounded);
    hn::StoreU(hn::DemoteTo(kByteTag, rounded), kByteTag, codes + i);
  }
  *sum = hn::GetLane(hn::SumOfLanes(kIntTag, total));
  return max / 127;
}

void QuantizeRow(size_t k, const float* HWY_RESTRICT x, const QuantCode& code, int8_t* HWY_RESTRICT codes,
                 float* HWY_RESTRICT scales, int32_t* HWY_RESTRICT corrections, float* HWY_RESTRICT sums) {
  for (size_t g = 0; g < NumQuantGroups(k); ++g) {
    const size_t begin = g * kQuantGroup, count = HWY_MIN(kQuantGroup, k - begin);
    const float* group = x + begin;
    HWY_ALIGN float padded[kQuantGroup];
    if (count < kQuantGroup) {
      std::copy(group, group + count, padded);
      std::fill(padded + count, padded + kQuantGroup, 0.0f);
      group = padded;
    }
    int32_t sum = 0;
    scales[g] = QuantizeGroup(group, codes + begin, &sum);
    corrections[g] = -code.Offset() * sum;
    sums[g] = scales[g] * static_cast<float>(sum);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

// The same with dot-product instructions, which Highway has no target for.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || (HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64)
#define QWEN25_BYTE_DOTS 1
#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
#elif HWY_TARGET == HWY_AVX2
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avxvnni")
#else
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR)
#endif
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {
namespace dots {

constexpr bool kSignedCodes = HWY_TARGET == HWY_NEON;
#if HWY_TARGET == HWY_AVX3
constexpr size_t kMaxLanes = 16;
constexpr size_t kMaxRows = 6;
template <int kBits, class V>
HWY_INLINE V SumOfQuads(V sums, V codes, V x) {
  return V{_mm512_dpbusd_epi32(sums.raw, codes.raw, x.raw)};
}
#elif HWY_TARGET == HWY_NEON
constexpr size_t kMaxLanes = 4;
constexpr size_t kMaxRows = 4;
template <int kBits, class V>
HWY_INLINE V SumOfQuads(V sums, V codes, V x) {
  // The intrinsic is only there for functions of a whole newer architecture, which Highway's are not.
  asm(".arch armv8.2-a+crypto+dotprod\n\tsdot %0.4s, %1.16b, %2.16b"
      : "+w"(sums.raw)
      : "w"(codes.raw), "w"(x.raw));
  return sums;
}
#else
constexpr size_t kMaxLanes = 8;
constexpr size_t kMaxRows = 2;
template <int kBits, class V>
HWY_INLINE V SumOfQuads(V sums, V codes, V x) {
  return V{_mm256_dpbusd_avx_epi32(sums.raw, codes.raw, x.raw)};
}
#endif
#include "kernels/quant_gemm-inl.h"

}  // namespace dots
}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_POP_ATTRIBUTES
#endif

namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {

using TileFunction = void (*)(const QuantCode& code, QuantTile tile);
TileFunction ChooseTileFunction() {
#ifdef QWEN25_BYTE_DOTS
  if (IsaHasByteDots()) return dots::RunQuantTile;
#undef QWEN25_BYTE_DOTS
#endif
  return plain::RunQuantTile;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25

#if HWY_ONCE
namespace qwen25 {
namespace {

HWY_EXPORT(QuantizeRow);
HWY_EXPORT(ChooseTileFunction);

// Codes of the rows that pass by a panel in one task: they stay in the second-level cache.
constexpr size_t kMaxTaskBytes = size_t{512} << 10;
constexpr size_t kRowUnit = 12;   // a multiple of every register tile's rows
constexpr size_t kEdgeRows = 32;  // rows of the buffer for a panel that C has only a part of

constexpr size_t RoundUp(size_t a, size_t b) {
  return (a + b - 1) / b * b;
}

void RunPanel(const QuantCode& code, QuantTile tile) {
  const auto run = HWY_DYNAMIC_DISPATCH(ChooseTileFunction)();
  if (tile.num_cols == kQuantPanelRows) {
    tile.c = tile.out->c.Row(tile.row_begin) + tile.col;
    tile.c_stride = tile.out->c.stride;
    return run(code, tile);
  }
  alignas(64) float buffer[kEdgeRows * kQuantPanelRows];
  tile.c = buffer;
  tile.c_stride = kQuantPanelRows;
  for (const size_t end = tile.row_end; tile.row_begin < end; tile.row_begin = tile.row_end) {
    tile.row_end = std::min(end, tile.row_begin + kEdgeRows);
    run(code, tile);
  }
}

}  // namespace

size_t QuantRowsFloats(size_t rows, size_t k) {
  const size_t num_groups = NumQuantGroups(k);
  return RoundUp(rows * num_groups * kQuantGroup / sizeof(float), 16) + 3 * rows * num_groups;
}

QuantRows QuantizeRows(ThreadPool& threads, MatrixView<const float> x, const QuantCode& code, float* memory) {
  const size_t num_groups = NumQuantGroups(x.cols), row_codes = num_groups * kQuantGroup;
  auto* codes = reinterpret_cast<int8_t*>(memory);
  float* scales = memory + RoundUp(x.rows * row_codes / sizeof(float), 16);
  float* sums = scales + x.rows * num_groups;
  auto* corrections = reinterpret_cast<int32_t*>(sums + x.rows * num_groups);
  const auto quantize_row = HWY_DYNAMIC_DISPATCH(QuantizeRow);
  const auto quantize = [&](size_t row) {
    quantize_row(x.cols, x.Row(row), code, codes + row * row_codes, scales + row * num_groups,
                 corrections + row * num_groups, sums + row * num_groups);
  };
  constexpr size_t kNumbersPerTask = 16384;  // below it, starting the threads costs more than they save
  if (x.rows * x.cols <= kNumbersPerTask) {
    for (size_t row = 0; row < x.rows; ++row) quantize(row);
  } else {
    const size_t rows_per_task = std::max<size_t>(1, kNumbersPerTask / x.cols);
    threads.ParallelFor((x.rows + rows_per_task - 1) / rows_per_task, [&](size_t task, size_t) {
      const size_t end = std::min(x.rows, (task + 1) * rows_per_task);
      for (size_t row = task * rows_per_task; row < end; ++row) quantize(row);
    });
  }
  return {x.rows, num_groups, codes, scales, corrections, sums};
}

void QuantGemm(ThreadPool& threads, const QuantRows& x, const QuantCode& code, const uint8_t* weights,
               size_t n, const GemmOutput& out) {
  QWEN25_CHECK(out.c.rows == x.rows && out.c.cols == n && !out.accumulate && out.residual != out.c.data);
  if (x.rows == 0 || n == 0) return;
  const size_t num_panels = NumQuantPanels(n);
  const size_t panel_bytes = x.num_groups * code.RecordBytes();
  // Few rows: a task is a run of panels, long enough for the memory system to see where it leads.
  const size_t max_rows = std::max<size_t>(64, kMaxTaskBytes / (x.num_groups * kQuantGroup));
  const size_t row_parts = (x.rows + max_rows - 1) / max_rows;
  const size_t rows_per_task = RoundUp((x.rows + row_parts - 1) / row_parts, kRowUnit);
  const size_t row_tasks = (x.rows + rows_per_task - 1) / rows_per_task;
  constexpr size_t kTaskBytes = size_t{1} << 19;
  const size_t panels_per_task =
      x.rows > 16 ? 1
                  : std::clamp<size_t>(kTaskBytes / panel_bytes, 1,
                                       std::max<size_t>(1, num_panels / (4 * threads.num_threads())));
  const size_t panel_tasks = (num_panels + panels_per_task - 1) / panels_per_task;
  threads.ParallelFor(row_tasks * panel_tasks, [&](size_t task, size_t) {
    const size_t row = task / panel_tasks * rows_per_task;
    const size_t first = task % panel_tasks * panels_per_task;
    for (size_t panel = first; panel < std::min(num_panels, first + panels_per_task); ++panel) {
      const size_t col = panel * kQuantPanelRows;
      RunPanel(code, {.x = &x,
                      .panel = weights + panel * panel_bytes,
                      .out = &out,
                      .row_begin = row,
                      .row_end = std::min(x.rows, row + rows_per_task),
                      .col = col,
                      .num_cols = std::min(kQuantPanelRows, n - col),
                      .c = nullptr,
                      .c_stride = 0,
                      .group_begin = 0,
                      .group_end = 0});
    }
  });
}

}  // namespace qwen25
#endif  // HWY_ONCE
