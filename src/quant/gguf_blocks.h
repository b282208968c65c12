// Rows of numbers in the block formats of GGUF files. docs/formats/gguf.md has the layouts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/ggml_type.h"

namespace qwen25 {

// Whether the functions below read and write a format. Q2_K, Q3_K and MXFP4 are read only.
bool CanDecodeGguf(GgmlType type);
bool CanEncodeGguf(GgmlType type);
// The formats that are read, for messages.
inline constexpr std::string_view kDecodedGgufTypes =
    "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K and MXFP4";
// Whether a format has blocks with scales.
constexpr bool IsGgufQuantized(GgmlType type) {
  return type != GgmlType::kF32 && type != GgmlType::kF16 && type != GgmlType::kBF16;
}

inline constexpr size_t kGgufGroup = 32;

// 32 consecutive numbers of a quantised row: number i is scales[i / 16] * codes[i] + minima[i / 16], rounded
// twice. The two scales differ in Q2_K, Q3_K and Q6_K, the two minima in Q2_K.
struct GgufGroup {
  float scales[2];
  float minima[2];
  bool has_minimum;  // else nothing is added, not even zero
  int8_t codes[kGgufGroup];
};
// Group `group` of a row of a quantised format. The row may be unaligned.
void DecodeGgufGroup(GgmlType type, const std::byte* row, size_t group, GgufGroup& out);

// out [cols]: every number as ggml decodes it, bit for bit. `cols` is a multiple of the block.
void DecodeGgufRow(GgmlType type, const std::byte* row, size_t cols, float* out);

// Writes GgmlRowBytes(type, cols) bytes. `row` is finite. Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1: the bytes that
// ggml's reference writes. Q4_K, Q5_K and Q6_K: gguf_k_blocks.h.
void EncodeGgufRow(GgmlType type, const float* row, size_t cols, std::byte* out);

// Q4_0 with the scales that packed_weight.h has for int4: less error than the reference's, in the same
// format. `row` is finite, cols a multiple of 32.
void EncodeFittedQ4_0Row(const float* row, size_t cols, std::byte* out);

}  // namespace qwen25
