#include "kernels/gemm.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm.cc"
#include <hwy/foreach_target.h>
// Highway's header must come after foreach_target.h.
#include <hwy/highway.h>

#ifndef QWEN25_KERNELS_GEMM_ONCE_
#define QWEN25_KERNELS_GEMM_ONCE_
namespace qwen25 {
namespace {

// One tile of the product, as the dispatched code needs it.
struct GemmTile {
  size_t k;
  size_t row_begin, row_end;      // rows of C
  size_t panel_begin, panel_end;  // packed panels of b
  size_t n;
  const GemmOperand* a;
  PackedOperand b;
  const GemmOutput* out;
  float* scratch;  // kTileScratchFloats
};

// Rows per task: 8 micro-tiles of at most 14 rows. A block of a (112 x 256 floats) then takes 115 KB of the 1
// MB second-level cache, a panel of b (256 x 32) 32 KB of the 48 KB first-level one.
constexpr size_t kMaxTileRows = 112;
// Panels per task: 16 panels of b and 512 columns of C stay in the second-level cache with a's block.
constexpr size_t kMaxTilePanels = 16;
// Rows of a are copied this far apart: a power of two would put all rows of a tile into the same cache sets.
constexpr size_t kPackedStride = kGemmBlockK + 16;
constexpr size_t kTransposedRows = 16;  // a transposed block is copied in groups of 16 rows side by side
constexpr size_t kTileScratchFloats = kMaxTileRows * kPackedStride + kTransposedRows * kGemmBlockK;

}  // namespace
}  // namespace qwen25
#endif

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
namespace {

constexpr hn::CappedTag<float, 16> kTag;
using Vec = hn::Vec<decltype(kTag)>;
constexpr size_t kLanes = hn::MaxLanes(kTag);
constexpr size_t kVecs = kGemmPanelCols / kLanes;  // registers across a panel
// Rows of the register tile: rows * kVecs accumulators, plus kVecs of b and one of a, fit the register file
// (32 registers with AVX-512 and NEON, 16 before).
constexpr size_t kMaxRows = kVecs == 2 ? 14 : kVecs == 8 && HWY_TARGET >= HWY_NEON ? 3 : kVecs == 4 ? 3 : 1;

// Where a register tile goes.
struct TileTarget {
  float* c;               // top left of the tile in C
  size_t stride;          // of C
  size_t num_cols;        // 32, or fewer in the last panel
  bool add;               // to what C holds
  const float* bias;      // of the tile's columns, or null
  const float* residual;  // top left, or null
  size_t residual_stride;
};

// The rare narrow tile at the right edge.
HWY_NOINLINE void StoreNarrowRow(const TileTarget& target, size_t row, const float* HWY_RESTRICT sums) {
  float* c = target.c + row * target.stride;
  for (size_t j = 0; j < target.num_cols; ++j) {
    float x = target.add ? c[j] + sums[j] : sums[j];
    if (target.bias != nullptr) x += target.bias[j];
    if (target.residual != nullptr) x += target.residual[row * target.residual_stride + j];
    c[j] = x;
  }
}

HWY_INLINE void StoreRow(const TileTarget& target, size_t row, const Vec (&sum)[kVecs]) {
  if (target.num_cols < kGemmPanelCols) {
    HWY_ALIGN float sums[kGemmPanelCols];
#pragma GCC unroll 8
    for (size_t v = 0; v < kVecs; ++v) hn::Store(sum[v], kTag, sums + v * kLanes);
    return StoreNarrowRow(target, row, sums);
  }
  float* c = target.c + row * target.stride;
#pragma GCC unroll 8
  for (size_t v = 0; v < kVecs; ++v) {
    Vec x = sum[v];
    if (target.add) x = hn::Add(hn::LoadU(kTag, c + v * kLanes), x);
    if (target.bias != nullptr) x = hn::Add(x, hn::LoadU(kTag, target.bias + v * kLanes));
    if (target.residual != nullptr) {
      x = hn::Add(x, hn::LoadU(kTag, target.residual + row * target.residual_stride + v * kLanes));
    }
    hn::StoreU(x, kTag, c + v * kLanes);
  }
}

HWY_INLINE Vec LoadPanel(const float* from) {
  return hn::Load(kTag, from);
}
template <typename Narrow>  // hwy::float16_t or hwy::bfloat16_t
HWY_INLINE Vec LoadPanel(const Narrow* from) {
  constexpr hn::Rebind<Narrow, decltype(kTag)> kNarrowTag;
  return hn::PromoteTo(kTag, hn::Load(kNarrowTag, from));
}

// target [kRows, 32] (+)= a [kRows, k] * panel [k, 32]. a's element (r, i) is a[r * kRowStep + i * kStepK].
template <size_t kRows, size_t kRowStep, size_t kStepK, typename B>
HWY_NOINLINE void MicroKernel(size_t k, const float* HWY_RESTRICT a, const B* HWY_RESTRICT panel,
                              const TileTarget& target) {
  Vec sum[kRows][kVecs];
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (size_t v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(kTag);
    __builtin_prefetch(target.c + r * target.stride, 1);
    __builtin_prefetch(target.c + r * target.stride + 16, 1);
  }
  for (size_t i = 0; i < k; ++i) {
    Vec b[kVecs];
#pragma GCC unroll 8
    for (size_t v = 0; v < kVecs; ++v) b[v] = LoadPanel(panel + v * kLanes);
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
      const Vec x = hn::Set(kTag, a[r * kRowStep]);
#pragma GCC unroll 8
      for (size_t v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(x, b[v], sum[r][v]);
    }
    a += kStepK;
    panel += kGemmPanelCols;
  }
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) StoreRow(target, r, sum[r]);
}

template <size_t kRowStep, size_t kStepK, typename B>
void RunRows(size_t num_rows, size_t k, const float* a, const B* panel, const TileTarget& target) {
  switch (num_rows) {
#define QWEN25_ROWS(count)                                                                             \
  case count:                                                                                          \
    if constexpr (count <= kMaxRows) return MicroKernel<count, kRowStep, kStepK>(k, a, panel, target); \
    break
    QWEN25_ROWS(1);
    QWEN25_ROWS(2);
    QWEN25_ROWS(3);
    QWEN25_ROWS(4);
    QWEN25_ROWS(6);
    QWEN25_ROWS(8);
    QWEN25_ROWS(10);
    QWEN25_ROWS(12);
    QWEN25_ROWS(14);
#undef QWEN25_ROWS
    default:
      break;
  }
  HWY_ABORT("no micro-kernel of %d rows", static_cast<int>(num_rows));
}

// The largest register tile for `rows` remaining rows.
HWY_INLINE size_t NextRows(size_t rows) {
  if (rows >= kMaxRows) return kMaxRows;
  return rows <= 4 ? rows : rows / 2 * 2;
}

// Copies rows [begin, end) of a's columns [k_begin, k_begin + k) into scratch. Plain rows stay rows
// (kPackedStride apart); a transposed operand is copied in groups of kMaxRows rows, element (r, i) of a group
// at i * kMaxRows + r.
void PackLeft(const GemmTile& tile, size_t k_begin, size_t k, float* HWY_RESTRICT packed) {
  const GemmOperand& a = *tile.a;
  const size_t num_rows = tile.row_end - tile.row_begin;
  if (!a.transposed) {
    for (size_t r = 0; r < num_rows; ++r) {
      const float* from = a.data + (tile.row_begin + r) * a.stride + k_begin;
      std::copy(from, from + k, packed + r * kPackedStride);
    }
    return;
  }
  for (size_t group = 0; group < num_rows; group += kMaxRows) {
    const size_t rows = HWY_MIN(kMaxRows, num_rows - group);
    float* to = packed + group * kGemmBlockK;
    const float* from = a.data + k_begin * a.stride + tile.row_begin + group;
    if (rows == kMaxRows) {  // a copy of constant size becomes a few vector moves
      for (size_t i = 0; i < k; ++i)
        std::memcpy(to + i * kMaxRows, from + i * a.stride, kMaxRows * sizeof(float));
    } else {
      for (size_t i = 0; i < k; ++i)
        std::memcpy(to + i * kMaxRows, from + i * a.stride, rows * sizeof(float));
    }
  }
}

template <typename B>
void RunTileOf(const GemmTile& tile) {
  const B* packed_b = static_cast<const B*>(tile.b.data);
  const GemmOutput& out = *tile.out;
  for (size_t k_begin = 0; k_begin < tile.k; k_begin += kGemmBlockK) {
    const size_t k = HWY_MIN(kGemmBlockK, tile.k - k_begin);
    const bool last = k_begin + k == tile.k;
    PackLeft(tile, k_begin, k, tile.scratch);
    for (size_t panel = tile.panel_begin; panel < tile.panel_end; ++panel) {
      const B* b = packed_b + panel * kGemmPanelCols * tile.k + k_begin * kGemmPanelCols;
      const size_t col = panel * kGemmPanelCols;
      TileTarget target = {.c = nullptr,
                           .stride = out.c.stride,
                           .num_cols = HWY_MIN(kGemmPanelCols, tile.n - col),
                           .add = out.accumulate || k_begin > 0,
                           .bias = last && out.bias != nullptr ? out.bias + col : nullptr,
                           .residual = nullptr,
                           .residual_stride = out.residual_stride};
      for (size_t row = tile.row_begin; row < tile.row_end;) {
        const size_t packed_row = row - tile.row_begin;
        const size_t group = packed_row / kMaxRows * kMaxRows;
        const size_t rows = NextRows(HWY_MIN(tile.row_end - row, group + kMaxRows - packed_row));
        target.c = out.c.Row(row) + col;
        if (last && out.residual != nullptr) target.residual = out.residual + row * out.residual_stride + col;
        if (tile.a->transposed) {
          RunRows<1, kMaxRows>(rows, k, tile.scratch + group * kGemmBlockK + (packed_row - group), b, target);
        } else {
          RunRows<kPackedStride, 1>(rows, k, tile.scratch + packed_row * kPackedStride, b, target);
        }
        row += rows;
      }
    }
  }
}

void RunTile(const GemmTile& tile) {
  switch (tile.b.dtype) {
    case DType::kF16:
      return RunTileOf<hwy::float16_t>(tile);
    case DType::kBF16:
      return RunTileOf<hwy::bfloat16_t>(tile);
    default:
      return RunTileOf<float>(tile);
  }
}

size_t RegisterTileRows() {
  return kMaxRows;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace qwen25 {
namespace {

HWY_EXPORT(RunTile);
HWY_EXPORT(RegisterTileRows);

// 4 MiB: a part of the last-level cache.
constexpr size_t kMaxPackedFloats = size_t{1} << 20;

size_t CeilDiv(size_t a, size_t b) {
  return (a + b - 1) / b;
}

// Rows and panels per task. Any choice gives the same numbers; this one gives every thread several tasks of
// equal size where the product is large enough to share.
struct Tiling {
  size_t rows, panels;
};
Tiling ChooseTiling(size_t m, size_t num_panels, size_t num_threads) {
  const size_t unit = HWY_DYNAMIC_DISPATCH(RegisterTileRows)();
  const size_t max_rows = kMaxTileRows / unit * unit;
  if (m <= max_rows) {  // few rows: share the panels
    const size_t parts = std::min(
        num_panels, num_threads * std::max<size_t>(2, CeilDiv(num_panels, kMaxTilePanels * num_threads)));
    return {m, CeilDiv(num_panels, std::max<size_t>(parts, 1))};
  }
  const size_t panel_parts = CeilDiv(num_panels, kMaxTilePanels);
  // As many row parts as make the number of tasks a multiple of the threads.
  size_t row_parts = CeilDiv(m, max_rows);
  while (row_parts * panel_parts % num_threads != 0 && CeilDiv(m, row_parts + 1) >= unit) ++row_parts;
  return {CeilDiv(CeilDiv(m, row_parts), unit) * unit, CeilDiv(num_panels, panel_parts)};
}

}  // namespace

void PackRightHandSide(ThreadPool& threads, size_t k, size_t n, const GemmOperand& b, float* packed) {
  constexpr size_t kCols = kGemmPanelCols;
  threads.ParallelFor(CeilDiv(n, kCols), [&](size_t panel, size_t) {
    float* to = packed + panel * kCols * k;
    const size_t col = panel * kCols;
    const size_t num_cols = std::min(kCols, n - col);
    if (num_cols < kCols) std::fill(to, to + kCols * k, 0.0f);
    if (b.transposed) {
      // Blocks of 16 x 32 keep both the rows that are read and the lines that are written in the first-level
      // cache.
      for (size_t i_begin = 0; i_begin < k; i_begin += 16) {
        const size_t i_end = std::min(k, i_begin + 16);
        for (size_t j = 0; j < num_cols; ++j) {
          const float* from = b.data + (col + j) * b.stride;
          for (size_t i = i_begin; i < i_end; ++i) to[i * kCols + j] = from[i];
        }
      }
    } else {
      const float* from = b.data + col;
      if (num_cols == kCols) {  // a copy of constant size becomes a few vector moves
        for (size_t i = 0; i < k; ++i)
          std::memcpy(to + i * kCols, from + i * b.stride, kCols * sizeof(float));
      } else {
        for (size_t i = 0; i < k; ++i)
          std::memcpy(to + i * kCols, from + i * b.stride, num_cols * sizeof(float));
      }
    }
  });
}

void GemmPacked(ThreadPool& threads, Scratch& scratch, size_t m, size_t n, size_t k, const GemmOperand& a,
                const PackedOperand& b, const GemmOutput& out) {
  QWEN25_CHECK(out.c.rows == m && out.c.cols == n && k > 0);
  QWEN25_CHECK(b.dtype == DType::kF32 || b.dtype == DType::kF16 || b.dtype == DType::kBF16);
  if (m == 0 || n == 0) return;
  const size_t num_panels = CeilDiv(n, kGemmPanelCols);
  const Tiling tiling = ChooseTiling(m, num_panels, threads.num_threads());
  const size_t row_tasks = CeilDiv(m, tiling.rows), panel_tasks = CeilDiv(num_panels, tiling.panels);
  scratch.ReservePerThread(kTileScratchFloats);
  threads.ParallelFor(row_tasks * panel_tasks, [&](size_t task, size_t thread) {
    // Neighbouring tasks share the panels of b.
    const size_t row = task % row_tasks * tiling.rows, panel = task / row_tasks * tiling.panels;
    HWY_DYNAMIC_DISPATCH(RunTile)
    ({.k = k,
      .row_begin = row,
      .row_end = std::min(m, row + tiling.rows),
      .panel_begin = panel,
      .panel_end = std::min(num_panels, panel + tiling.panels),
      .n = n,
      .a = &a,
      .b = b,
      .out = &out,
      .scratch = scratch.PerThread(thread)});
  });
}

void Gemm(ThreadPool& threads, Scratch& scratch, size_t m, size_t n, size_t k, const GemmOperand& a,
          const GemmOperand& b, const GemmOutput& out) {
  // A long k (weight gradients: all tokens of a batch) goes in whole blocks of k, so that what was just
  // packed is still in cache when it is used.
  const size_t max_blocks = std::max<size_t>(1, kMaxPackedFloats / PackedFloats(kGemmBlockK, n));
  const size_t max_k = max_blocks * kGemmBlockK;
  float* packed = scratch.Shared(PackedFloats(std::min(k, max_k), n));
  for (size_t k_begin = 0; k_begin < k; k_begin += max_k) {
    const size_t k_part = std::min(max_k, k - k_begin);
    const bool last = k_begin + k_part == k;
    const GemmOperand a_part = {a.data + k_begin * (a.transposed ? a.stride : 1), a.stride, a.transposed};
    const GemmOperand b_part = {b.data + k_begin * (b.transposed ? 1 : b.stride), b.stride, b.transposed};
    GemmOutput out_part = out;
    out_part.accumulate = out.accumulate || k_begin > 0;
    if (!last) out_part.bias = out_part.residual = nullptr;
    PackRightHandSide(threads, k_part, n, b_part, packed);
    GemmPacked(threads, scratch, m, n, k_part, a_part, {packed}, out_part);
  }
}

}  // namespace qwen25
#endif  // HWY_ONCE
