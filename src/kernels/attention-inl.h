// What forward and backward attention, the scores of blocks and their formats share, compiled once per
// instruction set. Included by attention.cc, attention_backward.cc, block_score.cc, block_summary.cc and
// kv_block.cc only.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "kernels/attention.h"

#if defined(QWEN25_KERNELS_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef QWEN25_KERNELS_ATTENTION_INL_H_
#undef QWEN25_KERNELS_ATTENTION_INL_H_
#else
#define QWEN25_KERNELS_ATTENTION_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace qwen25 {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::CappedTag<float, 16> kTag;
using Vec = hn::Vec<decltype(kTag)>;
constexpr size_t kLanes = hn::MaxLanes(kTag);
// Registers across a panel of columns: with 32 of them a tile of 6 x 4 accumulators, 4 of the right side and
// one of the left fit; with 16, 6 x 2.
constexpr bool kManyRegisters = kLanes == 16 || HWY_ARCH_ARM_A64;
constexpr size_t kPanelVecs = kManyRegisters ? 4 : 2;
constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kLn2 = 0.693147180559945309417f;

// Whether the CPU converts between float16 and float32.
constexpr bool kConvertsHalves = kLanes >= 8 || HWY_TARGET == HWY_NEON;

HWY_INLINE float Sum(Vec x) {
  return hn::GetLane(hn::SumOfLanes(kTag, x));
}

// Calls body(tag, i) for consecutive vectors that cover [begin, end): widest first, then narrower ones, so
// that no lane is ever outside. end - begin is a multiple of kUnit.
template <size_t kUnit = 1, size_t kCap = 16, class Body>
HWY_INLINE void ForVectors(size_t begin, size_t end, const Body& body) {
  constexpr hn::CappedTag<float, kCap> tag;
  constexpr size_t kStep = hn::MaxLanes(tag);
  for (; begin + kStep <= end; begin += kStep) body(tag, begin);
  if constexpr (kStep > kUnit) {
    if (begin < end) ForVectors<kUnit, kStep / 2>(begin, end, body);
  }
}

// 2^x for x in [kMinExponent, 127]; less than that gives 2^kMinExponent, NaN stays NaN. Relative error below
// 2 * 2^-23 (attention_test.cc measures it): 2^x = 2^n 2^f with n = round(x), f in [-1/2, 1/2], and for 2^f
// the polynomial of degree 5 with the constant 1 whose greatest relative error, 9.2e-8, is least.
//
// A row's exponentials add up to at least 1, so 2^-100 is nothing beside them, and its products stay clear of
// denormal numbers, on which some processors are slow.
constexpr float kMinExponent = -100;
template <class Tag, class V = hn::Vec<Tag>>
HWY_INLINE V Exp2(Tag tag, V x) {
  const hn::RebindToSigned<Tag> int_tag;
  // A comparison, because Max loses NaN on some targets.
  const V least = hn::Set(tag, kMinExponent);
  x = hn::IfThenElse(hn::Lt(x, least), least, x);
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const V magic = hn::Set(tag, 12582912.0f);
  const V rounded = hn::Add(x, magic);
  const V f = hn::Sub(x, hn::Sub(rounded, magic));
  V p = hn::Set(tag, 0x1.5bba14p-10f);
  p = hn::MulAdd(p, f, hn::Set(tag, 0x1.3cea88p-7f));
  p = hn::MulAdd(p, f, hn::Set(tag, 0x1.c6b752p-5f));
  p = hn::MulAdd(p, f, hn::Set(tag, 0x1.ebf9bcp-3f));
  p = hn::MulAdd(p, f, hn::Set(tag, 0x1.62e42ap-1f));
  p = hn::MulAdd(p, f, hn::Set(tag, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(int_tag, rounded));
  return hn::BitCast(tag, hn::Add(hn::BitCast(int_tag, p), exponent));
}

// ---- Products ------------------------------------------------------------------------

// C [rows, cols] = A [rows, depth] * B [depth, cols] [+ C * factors, or + C if add]. Each element of A * B is
// one chain of multiply-adds in ascending order of depth. A's element (r, i) is a[r * a_stride + i], or,
// transposed, a[i * a_stride + r]. Right: float, uint16_t for float16, or int8_t. With `scales`, each column
// of A * B is multiplied by its scale first. `ahead`: depth * cols numbers that are read next, asked for
// beside the work where Right is narrow; without it B's own rows are, some steps before they are used.
template <typename Right = float>
struct Product {
  size_t rows, cols, depth;
  const float* a;
  size_t a_stride;
  const Right* b;
  size_t b_stride;
  float* c;
  size_t c_stride;
  const float* factors = nullptr;  // [rows]
  bool add = false;
  const uint16_t* scales = nullptr;  // [cols] float16; then no factors
  const Right* ahead = nullptr;
};

template <class Tag>
HWY_INLINE hn::Vec<Tag> LoadFloats(Tag tag, const float* from) {
  return hn::LoadU(tag, from);
}
template <class Tag>
HWY_INLINE hn::Vec<Tag> LoadFloats(Tag tag, const uint16_t* from) {
  if constexpr (kConvertsHalves) {
    const hn::Rebind<hwy::float16_t, Tag> half_tag;
    return hn::PromoteTo(tag, hn::LoadU(half_tag, reinterpret_cast<const hwy::float16_t*>(from)));
  } else {  // Float16ToFloat in base/dtype.h; Highway's own way makes finite what is not
    const hn::RebindToUnsigned<Tag> bits_tag;
    const hn::Rebind<uint16_t, Tag> half_tag;
    const auto bits = hn::PromoteTo(bits_tag, hn::LoadU(half_tag, from));
    const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(bits_tag, 0x7fffu)));
    const auto scaled = hn::Mul(hn::BitCast(tag, magnitude), hn::Set(tag, 0x1p112f));
    const auto special = hn::BitCast(tag, hn::Or(magnitude, hn::Set(bits_tag, 0x7f800000u)));
    const auto infinity = hn::BitCast(tag, hn::Set(bits_tag, 0x7c00u << 13));
    const auto is_finite = hn::Lt(hn::BitCast(tag, magnitude), infinity);
    const auto sign = hn::BitCast(tag, hn::ShiftLeft<16>(hn::And(bits, hn::Set(bits_tag, 0x8000u))));
    return hn::Or(hn::IfThenElse(is_finite, scaled, special), sign);
  }
}
template <class Tag>
HWY_INLINE hn::Vec<Tag> LoadFloats(Tag tag, const int8_t* from) {
  const hn::RebindToSigned<Tag> int_tag;
  const hn::Rebind<int8_t, Tag> byte_tag;
  return hn::ConvertTo(tag, hn::PromoteTo(int_tag, hn::LoadU(byte_tag, from)));
}

// Whether the right side has to be converted to float: once for each tile of rows, so that a tall tile is
// better than a wide one.
template <typename Right>
constexpr bool kConverts = sizeof(Right) < sizeof(float);

// How many steps of depth before their use float16 numbers and codes are prefetched.
template <typename Right>
constexpr size_t kStepsAhead = sizeof(Right) == 2 ? 20 : 40;

// Long: the sums are in registers throughout, and a part of its own would spill them.
template <bool kTransposed, size_t kRows, size_t kVecs, class Tag, typename Right>
HWY_NOINLINE void MicroKernel(Tag tag, const Product<Right>& product, size_t row, size_t col) {
  using V = hn::Vec<Tag>;
  constexpr size_t kN = hn::MaxLanes(Tag());
  V sum[kRows][kVecs];
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) sum[r][v] = hn::Zero(tag);
  }
  const size_t a_stride = product.a_stride, b_stride = product.b_stride;
  const float* HWY_RESTRICT a = product.a + (kTransposed ? row : row * a_stride);
  const Right* HWY_RESTRICT b = product.b + col;
  // From memory: the hardware stops looking ahead at the end of a page.
  const Right* ahead = b + kStepsAhead<Right> * b_stride;
  size_t ahead_stride = b_stride;
  if (product.ahead != nullptr) {
    ahead = product.ahead + col * product.depth;
    ahead_stride = kVecs * kN;
  }
  for (size_t i = product.depth; i != 0; --i) {
    V right[kVecs];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) right[v] = LoadFloats(tag, b + v * kN);
    if constexpr (kConverts<Right>) {
      for (size_t v = 0; v < kVecs; v += 64 / (sizeof(Right) * kN)) hwy::Prefetch(ahead + v * kN);
      ahead += ahead_stride;
    }
#pragma GCC unroll 16
    for (size_t r = 0; r < kRows; ++r) {
      const V left = hn::Set(tag, kTransposed ? a[r] : a[r * a_stride]);
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) sum[r][v] = hn::MulAdd(left, right[v], sum[r][v]);
    }
    a += kTransposed ? a_stride : 1;
    b += b_stride;
  }
  float* HWY_RESTRICT c = product.c + row * product.c_stride + col;
  const float* HWY_RESTRICT factors = product.factors;
  const uint16_t* HWY_RESTRICT scales = product.scales == nullptr ? nullptr : product.scales + col;
#pragma GCC unroll 16
  for (size_t r = 0; r < kRows; ++r) {
    if (scales != nullptr) {
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) {
        const V scale = LoadFloats(tag, scales + v * kN);
        sum[r][v] = product.add ? hn::MulAdd(sum[r][v], scale, hn::LoadU(tag, c + v * kN))
                                : hn::Mul(sum[r][v], scale);
      }
    } else if (factors != nullptr) {
      const V factor = hn::Set(tag, factors[row + r]);
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v)
        sum[r][v] = hn::MulAdd(hn::LoadU(tag, c + v * kN), factor, sum[r][v]);
    } else if (product.add) {
#pragma GCC unroll 4
      for (size_t v = 0; v < kVecs; ++v) sum[r][v] = hn::Add(hn::LoadU(tag, c + v * kN), sum[r][v]);
    }
#pragma GCC unroll 4
    for (size_t v = 0; v < kVecs; ++v) hn::StoreU(sum[r][v], tag, c + v * kN);
    c += product.c_stride;
  }
}

// Rows of the largest register tile for kVecs registers across.
template <size_t kVecs>
constexpr size_t MaxRows() {
  return kVecs * 12 <= (kManyRegisters ? 24 : 12) ? 12 : 6;
}

template <bool kTransposed, size_t kVecs, class Tag, typename Right>
void MultiplyPanel(Tag tag, const Product<Right>& product, size_t col) {
  // Narrow tails get fewer register tiles: there is one kernel for each.
  constexpr bool kNarrow = hn::MaxLanes(Tag()) < kLanes;
  size_t row = 0;
  const auto run = [&]<size_t kRows>(std::integral_constant<size_t, kRows>) {
    MicroKernel<kTransposed, kRows, kVecs>(tag, product, row, col);
    row += kRows;
  };
  if constexpr (MaxRows<kVecs>() >= 12) {
    while (row + 12 <= product.rows) run(std::integral_constant<size_t, 12>());
  }
  if constexpr (kNarrow) {
    while (row + 4 <= product.rows) run(std::integral_constant<size_t, 4>());
    while (row < product.rows) run(std::integral_constant<size_t, 1>());
  } else {
    // The last rows in two tiles of about the same size: one of a single row would wait for its own sums.
    constexpr size_t kMost = kConverts<Right> ? MaxRows<kVecs>() : 6;
    while (row < product.rows) {
      const size_t rest = product.rows - row;
      const size_t count = rest <= kMost ? rest : rest < 2 * kMost ? (rest + 1) / 2 : kMost;
      [&]<size_t... kLess>(std::index_sequence<kLess...>) {
        const auto run_if = [&]<size_t kRows>(std::integral_constant<size_t, kRows> rows) {
          if (count == kRows) run(rows);
        };
        (run_if(std::integral_constant<size_t, kLess + 1>()), ...);
      }
      (std::make_index_sequence<kMost>());
    }
  }
}

template <bool kTransposed, typename Right = float>
void Multiply(const Product<Right>& product) {
  const bool tall = kManyRegisters && kConverts<Right> && product.rows > MaxRows<kPanelVecs>();
  size_t col = 0;
  if (!tall) {
    while (col + kPanelVecs * kLanes <= product.cols) {
      MultiplyPanel<kTransposed, kPanelVecs>(kTag, product, col);
      col += kPanelVecs * kLanes;
    }
  }
  if constexpr (kPanelVecs == 4) {
    while (col + 2 * kLanes <= product.cols) {
      MultiplyPanel<kTransposed, 2>(kTag, product, col);
      col += 2 * kLanes;
    }
  }
  // head_dim is even, and so are whole vectors of keys, but for targets of one lane.
  ForVectors<kLanes == 1 ? 1 : 2>(col, product.cols, [&](auto tag, size_t i) HWY_ATTR {
    MultiplyPanel<kTransposed, 1>(tag, product, i);
  });
}

// ---- Rotation ------------------------------------------------------------------------

// to = rotation of `from` by +angle (sign 1) or -angle (sign -1), plus what is there if kAdd. `to` may be
// `from`.
template <bool kAdd>
HWY_INLINE void RotateRow(size_t head_dim, const float* cos, const float* sin, float sign, const float* from,
                          float* to) {
  const size_t half = head_dim / 2;
  ForVectors(0, half, [&](auto tag, size_t i) HWY_ATTR {
    const auto c = hn::LoadU(tag, cos + i), s = hn::Mul(hn::LoadU(tag, sin + i), hn::Set(tag, sign));
    const auto x = hn::LoadU(tag, from + i), y = hn::LoadU(tag, from + half + i);
    auto new_x = hn::NegMulAdd(y, s, hn::Mul(x, c));
    auto new_y = hn::MulAdd(x, s, hn::Mul(y, c));
    if constexpr (kAdd) {
      new_x = hn::Add(hn::LoadU(tag, to + i), new_x);
      new_y = hn::Add(hn::LoadU(tag, to + half + i), new_y);
    }
    hn::StoreU(new_x, tag, to + i);
    hn::StoreU(new_y, tag, to + half + i);
  });
}

// Angles of the distance from a key block to a query block.
struct BlockAngles {
  const float *cos, *sin;
  float sign;
};
HWY_INLINE BlockAngles AnglesBetween(const RotaryAngles& rotary, size_t query_block, size_t key_block) {
  const bool later = key_block > query_block;
  const size_t distance = later ? key_block - query_block : query_block - key_block;
  const size_t row = std::min(distance, rotary.max_distance) * (rotary.head_dim / 2);
  return {rotary.block_cos + row, rotary.block_sin + row, later ? -1.0f : 1.0f};
}

// Asks for `count` floats that will be read soon: rows of one head lie too far apart for the hardware to
// guess.
HWY_INLINE void PrefetchRow(const float* from, size_t count) {
  for (size_t i = 0; i < count; i += 16) hwy::Prefetch(from + i);
}
constexpr size_t kPrefetchTokens = 4;

// Gathers the rows of a tile, rotated by their offset and scaled to scores in units of log2.
HWY_INLINE void GatherQueries(const QueryTile& tile, const RotaryAngles& rotary,
                              HeadRows<const float> queries, float scale, float* HWY_RESTRICT to) {
  const size_t head_dim = tile.head_dim, half = head_dim / 2;
  const float factor = scale * kLog2E;
  for (size_t t = 0; t < tile.num_tokens; ++t) {
    const size_t angles = (tile.first_offset() + t) * half;
    const float *cos = rotary.offset_cos + angles, *sin = rotary.offset_sin + angles;
    if (t + kPrefetchTokens < tile.num_tokens) {
      PrefetchRow(queries.data + (t + kPrefetchTokens) * queries.stride, tile.num_heads * head_dim);
    }
    for (size_t g = 0; g < tile.num_heads; ++g) {
      const float* from = queries.data + t * queries.stride + g * head_dim;
      ForVectors(0, half, [&](auto tag, size_t i) HWY_ATTR {
        const auto f = hn::Set(tag, factor);
        const auto c = hn::LoadU(tag, cos + i), s = hn::LoadU(tag, sin + i);
        const auto x = hn::Mul(hn::LoadU(tag, from + i), f), y = hn::Mul(hn::LoadU(tag, from + half + i), f);
        hn::StoreU(hn::NegMulAdd(y, s, hn::Mul(x, c)), tag, to + i);
        hn::StoreU(hn::MulAdd(x, s, hn::Mul(y, c)), tag, to + half + i);
      });
      to += head_dim;
    }
  }
}

// The tile's queries as a key block sees them: rotated by the distance as well.
HWY_INLINE const float* QueriesAt(const QueryTile& tile, const RotaryAngles& rotary, size_t block_index,
                                  const float* queries, float* HWY_RESTRICT rotated) {
  if (block_index == tile.block()) return queries;
  const BlockAngles angles = AnglesBetween(rotary, tile.block(), block_index);
  for (size_t row = 0; row < tile.num_rows(); ++row) {
    RotateRow<false>(tile.head_dim, angles.cos, angles.sin, angles.sign, queries + row * tile.head_dim,
                     rotated + row * tile.head_dim);
  }
  return rotated;
}

// to [cols, to_stride] = transpose of from [rows, from_stride].
HWY_INLINE void Transpose(size_t rows, size_t cols, const float* HWY_RESTRICT from, size_t from_stride,
                          float* HWY_RESTRICT to, size_t to_stride) {
  for (size_t c = 0; c < cols; ++c) {
    for (size_t r = 0; r < rows; ++r) to[c * to_stride + r] = from[r * from_stride + c];
  }
}

// Columns of the score kernels for `visible` keys.
HWY_INLINE size_t WholeVectors(size_t visible) {
  return (visible + kLanes - 1) / kLanes * kLanes;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace qwen25
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
