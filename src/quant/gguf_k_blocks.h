// GGUF's "K" formats: blocks of 256 numbers whose scales are themselves quantised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/dtype.h"
#include "quant/gguf_blocks.h"

namespace qwen25 {

// float16 numbers of a block, at any address.
inline float LoadHalf(const std::byte* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return Float16ToFloat(bits);
}
// Returns the number as stored.
inline float StoreHalf(float value, std::byte* bytes) {
  const uint16_t bits = FloatToFloat16(value);
  std::memcpy(bytes, &bits, sizeof bits);
  return Float16ToFloat(bits);
}

// `type`: kQ2_K, kQ3_K, kQ4_K, kQ5_K or kQ6_K.
void DecodeGgufKGroup(GgmlType type, const std::byte* row, size_t group, GgufGroup& out);

// Writes the block of x [256], finite, as kQ4_K, kQ5_K or kQ6_K. Scales and minima are searched for the least
// squared error: per group among several widths of the code range, each refined by least squares; then among
// neighbouring codes, for the scales rounded as the block holds them. ggml weighs errors by the magnitude of
// the numbers instead; the squared error here is never greater in the cases of gguf_blocks_test.cc.
void EncodeGgufKBlock(GgmlType type, const float* x, std::byte* out);

}  // namespace qwen25
