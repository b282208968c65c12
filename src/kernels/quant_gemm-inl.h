// The body of QuantGemm, compiled once per instruction set and kind of dot product by quant_gemm.cc, inside a
// namespace of its own. Before it stand:
//   kMaxLanes    32-bit lanes of a vector
//   kMaxRows     rows of a register tile
//   kSignedCodes whether SumOfQuads<8> takes codes as they are after a flip of the highest bit
//   SumOfQuads<kBits>(sums, codes, x): sums + codes[4 i .. 4 i + 3] . x[4 i .. 4 i + 3] in lane i

constexpr hn::CappedTag<int32_t, kMaxLanes> kInts;
constexpr hn::Rebind<float, decltype(kInts)> kFloats;
constexpr hn::Rebind<hwy::float16_t, decltype(kInts)> kHalfs;
using Ints = hn::Vec<decltype(kInts)>;
using Floats = hn::Vec<decltype(kFloats)>;
constexpr size_t kLanes = hn::MaxLanes(kInts);
constexpr size_t kPassVecs = 2;                   // vectors across the part of a panel that one pass computes
constexpr size_t kPassRows = kPassVecs * kLanes;  // rows of W

// Codes [row of the panel][4] as vectors.
HWY_INLINE Ints LoadCodes(const uint8_t* codes) {
  return hn::Load(kInts, reinterpret_cast<const int32_t*>(codes));
}
// Four codes of a row of activations in every lane.
HWY_INLINE Ints LoadQuad(const int8_t* codes) {
  int32_t quad;
  std::memcpy(&quad, codes, sizeof quad);
  return hn::Set(kInts, quad);
}
HWY_INLINE Floats LoadHalfs(const uint8_t* halfs) {
  return hn::PromoteTo(kFloats, hn::Load(kHalfs, reinterpret_cast<const hwy::float16_t*>(halfs)));
}

// The integer sums of one group. `codes` is at the pass's first row.
template <int kBits, size_t kRows>
HWY_INLINE void AddGroup(const uint8_t* codes, const int8_t* x, size_t x_stride,
                         Ints (&sums)[kRows][kPassVecs]) {
  constexpr size_t kStep = kQuantPanelRows * 4;
  const Ints low_half = hn::Set(kInts, 0x0f0f0f0f);
#pragma GCC unroll 8
  for (size_t s = 0; s < kQuantGroup * kBits / 32; ++s) {
    Ints w[kPassVecs], high[kPassVecs];
#pragma GCC unroll 2
    for (size_t v = 0; v < kPassVecs; ++v) {
      w[v] = LoadCodes(codes + s * kStep + v * kLanes * 4);
      if constexpr (kBits == 4) {
        high[v] = hn::And(hn::ShiftRight<4>(w[v]), low_half);
        w[v] = hn::And(w[v], low_half);
      } else if constexpr (kSignedCodes) {
        w[v] = hn::Xor(w[v], hn::Set(kInts, static_cast<int32_t>(0x80808080)));
      }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      const Ints quad = LoadQuad(x + r * x_stride + 4 * s);
#pragma GCC unroll 2
      for (size_t v = 0; v < kPassVecs; ++v) sums[r][v] = SumOfQuads<kBits>(sums[r][v], w[v], quad);
      if constexpr (kBits == 4) {
        const Ints second = LoadQuad(x + r * x_stride + 16 + 4 * s);
#pragma GCC unroll 2
        for (size_t v = 0; v < kPassVecs; ++v) {
          sums[r][v] = SumOfQuads<kBits>(sums[r][v], high[v], second);
        }
      }
    }
  }
}

// The bytes of the record one part ahead that the tile's rows [row, row + num_rows) ask for.
struct PrefetchShare {
  size_t begin, end;
};
HWY_INLINE PrefetchShare SharePrefetch(const QuantTile& tile, size_t row, size_t num_rows,
                                       size_t record_bytes) {
  const size_t all = tile.row_end - tile.row_begin, lines = record_bytes / 64;
  if (all == num_rows) return {0, 0};  // one pass: the hardware sees the stream itself
  const size_t done = row - tile.row_begin;
  return {lines * done / all * 64, lines * (done + num_rows) / all * 64};
}

// Columns [col, col + kPassRows) of kRows rows of C from the panel's rows of the same numbers.
// Long: the sums are in registers throughout, and a part of its own would spill them.
template <int kBits, bool kMinimum, size_t kRows>
HWY_NOINLINE void RunPass(const QuantTile& tile, size_t row, size_t col) {
  constexpr QuantCode kCode = {.bits = kBits, .has_minimum = kMinimum};
  constexpr bool kCorrect = kCode.Offset() != 0 && !(kBits == 8 && kSignedCodes);
  const size_t num_groups = tile.x->num_groups;
  const size_t x_stride = num_groups * kQuantGroup;
  const size_t first = row * num_groups + tile.group_begin;  // of the row's groups
  const int8_t* x = tile.x->codes + first * kQuantGroup;
  const uint8_t* record = tile.panel + tile.group_begin * kCode.RecordBytes();
  // What comes after this part of the panel is needed next: every pass asks for a share of it.
  const size_t ahead = (tile.group_end - tile.group_begin) * kCode.RecordBytes();
  const PrefetchShare share = SharePrefetch(tile, row, kRows, kCode.RecordBytes());
  float* c = tile.c + (row - tile.row_begin) * tile.c_stride + col;
  Floats total[kRows][kPassVecs];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (size_t v = 0; v < kPassVecs; ++v) {
      total[r][v] =
          tile.group_begin == 0 ? hn::Zero(kFloats) : hn::LoadU(kFloats, c + r * tile.c_stride + v * kLanes);
    }
  }
  for (size_t g = 0; g < tile.group_end - tile.group_begin; ++g, record += kCode.RecordBytes()) {
    Ints sums[kRows][kPassVecs];
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      const Ints start =
          kCorrect ? hn::Set(kInts, tile.x->corrections[first + r * num_groups + g]) : hn::Zero(kInts);
#pragma GCC unroll 2
      for (size_t v = 0; v < kPassVecs; ++v) sums[r][v] = start;
    }
    for (size_t line = share.begin; line < share.end; line += 64)
      __builtin_prefetch(record + ahead + line, 0, 2);
    AddGroup<kBits>(record + kCode.HeaderBytes() + col * 4, x + g * kQuantGroup, x_stride, sums);
    Floats scales[kPassVecs], minima[kPassVecs];
#pragma GCC unroll 2
    for (size_t v = 0; v < kPassVecs; ++v) {
      scales[v] = LoadHalfs(record + (col + v * kLanes) * 2);
      if constexpr (kMinimum) minima[v] = LoadHalfs(record + (kQuantPanelRows + col + v * kLanes) * 2);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      const Floats x_scale = hn::Set(kFloats, tile.x->scales[first + r * num_groups + g]);
#pragma GCC unroll 2
      for (size_t v = 0; v < kPassVecs; ++v) {
        total[r][v] =
            hn::MulAdd(hn::ConvertTo(kFloats, sums[r][v]), hn::Mul(scales[v], x_scale), total[r][v]);
        if constexpr (kMinimum) {
          const Floats x_sum = hn::Set(kFloats, tile.x->sums[first + r * num_groups + g]);
          total[r][v] = hn::MulAdd(minima[v], x_sum, total[r][v]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (size_t v = 0; v < kPassVecs; ++v) {
      hn::StoreU(total[r][v], kFloats, c + r * tile.c_stride + v * kLanes);
    }
  }
}

template <int kBits, bool kMinimum, size_t kRows>
HWY_INLINE void RunPasses(const QuantTile& tile, size_t row) {
  for (size_t col = 0; col < kQuantPanelRows; col += kPassRows)
    RunPass<kBits, kMinimum, kRows>(tile, row, col);
}

template <int kBits, bool kMinimum>
void RunRows(const QuantTile& tile) {
  size_t row = tile.row_begin;
  for (; row + kMaxRows <= tile.row_end; row += kMaxRows) RunPasses<kBits, kMinimum, kMaxRows>(tile, row);
  switch (tile.row_end - row) {
#define QWEN25_ROWS(count)                                                        \
  case count:                                                                     \
    if constexpr (count < kMaxRows) RunPasses<kBits, kMinimum, count>(tile, row); \
    break
    QWEN25_ROWS(1);
    QWEN25_ROWS(2);
    QWEN25_ROWS(3);
    QWEN25_ROWS(4);
    QWEN25_ROWS(5);
#undef QWEN25_ROWS
    default:
      break;
  }
}

// Adds bias and residual to a tile whose sums are complete.
HWY_INLINE void FinishTile(const QuantTile& tile) {
  for (size_t row = tile.row_begin; row < tile.row_end; ++row) {
    const float* from = tile.c + (row - tile.row_begin) * tile.c_stride;
    float* to = tile.out->c.Row(row) + tile.col;
    const float* residual = tile.out->residual == nullptr
                                ? nullptr
                                : tile.out->residual + row * tile.out->residual_stride + tile.col;
    const float* bias = tile.out->bias == nullptr ? nullptr : tile.out->bias + tile.col;
    if (tile.num_cols == kQuantPanelRows) {
      for (size_t j = 0; j < kQuantPanelRows; j += kLanes) {
        Floats x = hn::LoadU(kFloats, from + j);
        if (bias != nullptr) x = hn::Add(x, hn::LoadU(kFloats, bias + j));
        if (residual != nullptr) x = hn::Add(x, hn::LoadU(kFloats, residual + j));
        hn::StoreU(x, kFloats, to + j);
      }
      continue;
    }
    for (size_t j = 0; j < tile.num_cols; ++j) {
      float x = from[j];
      if (bias != nullptr) x += bias[j];
      if (residual != nullptr) x += residual[j];
      to[j] = x;
    }
  }
}

// One panel of columns for the tile's rows. Long k goes in parts, so that a part of the panel stays in the
// first-level cache while the rows pass by.
void RunQuantTile(const QuantCode& code, QuantTile tile) {
  constexpr size_t kPartGroups = 32;
  const size_t num_groups = tile.x->num_groups;
  const bool one_pass = tile.row_end - tile.row_begin <= kMaxRows;
  for (tile.group_begin = 0; tile.group_begin < num_groups; tile.group_begin = tile.group_end) {
    tile.group_end = one_pass ? num_groups : HWY_MIN(num_groups, tile.group_begin + kPartGroups);
    if (code.bits == 8) {
      code.has_minimum ? RunRows<8, true>(tile) : RunRows<8, false>(tile);
    } else {
      code.has_minimum ? RunRows<4, true>(tile) : RunRows<4, false>(tile);
    }
  }
  const bool in_place = tile.c == tile.out->c.Row(tile.row_begin) + tile.col;
  if (!in_place || tile.out->bias != nullptr || tile.out->residual != nullptr) FinishTile(tile);
}
