// Products of quantised weights and activations that are quantised on the fly, by integer dot products.
//
// A weight matrix W [n, k] lies in panels of kQuantPanelRows rows. A panel is one record per group of
// kQuantGroup consecutive k, so that a product reads its panel from the first byte to the last:
//   scales: float16 [32], one per row
//   minima: float16 [32], if the format has them
//   codes:  int8: [8][32][4] bytes, byte (s, row, i) is the code of k = 4 s + i
//           int4: [4][32][4] bytes, byte (s, row, i) holds k = 4 s + i in its low half, k = 16 + 4 s + i in
//           its high half
// A code c means scale * (c - Offset()) + minimum, where 8-bit codes have offset 128, and 4-bit codes 8
// without minima and 0 with them. k is padded to whole groups and n to whole panels, with codes and scales
// that mean 0.
//
// Activations x [rows, k] are quantised per row and group: x = scale * code, |code| <= 127. The sum over a
// group is exact in integers; groups are added in float32 in ascending order by one multiply-add each. So the
// result does not depend on the tiling, the threads or the other rows, and every instruction set with a fused
// multiply-add gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/gemm.h"
#include "tensor/view.h"

namespace qwen25 {

inline constexpr size_t kQuantGroup = 32;      // consecutive k that share a scale
inline constexpr size_t kQuantPanelRows = 32;  // rows of W side by side

// What a code means.
struct QuantCode {
  int bits = 8;  // 8 or 4
  bool has_minimum = false;

  friend bool operator==(const QuantCode&, const QuantCode&) = default;

  constexpr int32_t Offset() const { return bits == 8 ? 128 : has_minimum ? 0 : 8; }
  constexpr size_t HeaderBytes() const { return kQuantPanelRows * (has_minimum ? 4 : 2); }
  constexpr size_t CodeBytes() const { return kQuantPanelRows * kQuantGroup * static_cast<size_t>(bits) / 8; }
  constexpr size_t RecordBytes() const { return HeaderBytes() + CodeBytes(); }
};

constexpr size_t NumQuantGroups(size_t k) {
  return (k + kQuantGroup - 1) / kQuantGroup;
}
constexpr size_t NumQuantPanels(size_t n) {
  return (n + kQuantPanelRows - 1) / kQuantPanelRows;
}
constexpr size_t QuantPanelBytes(const QuantCode& code, size_t k) {
  return NumQuantGroups(k) * code.RecordBytes();
}
constexpr size_t QuantMatrixBytes(const QuantCode& code, size_t n, size_t k) {
  return NumQuantPanels(n) * QuantPanelBytes(code, k);
}

// Rows of activations, quantised for one kind of weights.
struct QuantRows {
  size_t rows = 0;
  size_t num_groups = 0;
  const int8_t* codes = nullptr;         // [rows, num_groups * 32]
  const float* scales = nullptr;         // [rows, num_groups]
  const int32_t* corrections = nullptr;  // [rows, num_groups] -Offset() * sum of codes
  const float* sums = nullptr;           // [rows, num_groups] scale * sum of codes, for minima
};

// Floats of memory that QuantizeRows needs.
size_t QuantRowsFloats(size_t rows, size_t k);

// scale = max |x| / 127 of a group, code = x / scale rounded to the nearest, ties to even. `memory`:
// QuantRowsFloats(rows, k) floats, 64-byte aligned. A group with a NaN or an infinity becomes NaN.
QuantRows QuantizeRows(ThreadPool& threads, MatrixView<const float> x, const QuantCode& code, float* memory);

// out.c [rows, n] = x W^T. `weights`: QuantMatrixBytes, 64-byte aligned. out.accumulate must be false, and
// out.residual may not be out.c.
void QuantGemm(ThreadPool& threads, const QuantRows& x, const QuantCode& code, const uint8_t* weights,
               size_t n, const GemmOutput& out);

}  // namespace qwen25
