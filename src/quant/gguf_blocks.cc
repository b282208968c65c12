#include "quant/gguf_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/dtype.h"
#include "quant/encode_group.h"
#include "quant/gguf_k_blocks.h"

namespace qwen25 {
namespace {

// Blocks of 32, as they lie in the file: little-endian, no padding.
constexpr size_t kBlock = 32;

// Numbers 0..15 are the low halves of 16 bytes, 16..31 the high ones.
void DecodeNibbles(const std::byte* bytes, int offset, int8_t* codes) {
  for (size_t i = 0; i < 16; ++i) {
    const int byte = static_cast<int>(bytes[i]);
    codes[i] = static_cast<int8_t>((byte & 15) - offset);
    codes[16 + i] = static_cast<int8_t>((byte >> 4) - offset);
  }
}

// The same with bit i of `high` as bit 4 of number i.
void DecodeFiveBits(const std::byte* high, const std::byte* low, int offset, int8_t* codes) {
  uint32_t bits;
  std::memcpy(&bits, high, sizeof bits);
  DecodeNibbles(low, offset, codes);
  for (size_t i = 0; i < kBlock; ++i) codes[i] = static_cast<int8_t>(codes[i] + ((bits >> i & 1) << 4));
}

// Source: the OCP Microscaling formats, MXFP4: numbers of 4 bits (E2M1) that share a power of two. As in ggml
// the codes are twice the numbers, and the scale is half of the power.
void DecodeMxfp4(const std::byte* block, GgufGroup& out) {
  constexpr int8_t kTwice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  out.scales[0] = out.scales[1] = std::ldexp(1.0f, static_cast<int>(block[0]) - 128);
  DecodeNibbles(block + 1, 0, out.codes);
  for (int8_t& code : out.codes) code = kTwice[code];
}

struct Extremes {
  float low, high;  // the least and the greatest number
  float farthest;   // the first of greatest magnitude
};

Extremes FindExtremes(const float* x) {
  Extremes extremes = {x[0], x[0], x[0]};
  for (size_t i = 1; i < kBlock; ++i) {
    extremes.low = std::min(extremes.low, x[i]);
    extremes.high = std::max(extremes.high, x[i]);
    if (std::fabs(x[i]) > std::fabs(extremes.farthest)) extremes.farthest = x[i];
  }
  return extremes;
}

// floor(value), 0 to `top`. (A number and the inverse of a tiny scale may overflow: that is a NaN or infinite
// product, which becomes a code, too.)
uint8_t Truncate(float value, int top) {
  return static_cast<uint8_t>(value >= static_cast<float>(top) ? top
                              : value > 0                      ? static_cast<int>(value)
                                                               : 0);
}

void StoreNibbles(const uint8_t* codes, std::byte* bytes) {
  for (size_t i = 0; i < 16; ++i) {
    bytes[i] = static_cast<std::byte>((codes[i] & 15) | (codes[16 + i] & 15) << 4);
  }
}
void StoreHighBits(const uint8_t* codes, std::byte* bytes) {
  uint32_t bits = 0;
  for (size_t i = 0; i < kBlock; ++i) bits |= static_cast<uint32_t>(codes[i] >> 4) << i;
  std::memcpy(bytes, &bits, sizeof bits);
}

float Inverse(float scale) {
  return scale == 0 ? 0.0f : 1.0f / scale;
}

void EncodeQ8_0(const float* x, std::byte* out) {
  const float scale = std::fabs(FindExtremes(x).farthest) / 127;
  const float inverse = Inverse(scale);
  StoreHalf(scale, out);
  for (size_t i = 0; i < kBlock; ++i) {
    const float rounded = std::round(x[i] * inverse);  // halves away from zero
    out[2 + i] = static_cast<std::byte>(static_cast<int8_t>(std::clamp(rounded, -127.0f, 127.0f)));
  }
}

// Codes around zero: `bits` of them, the number of greatest magnitude gets the least code.
void EncodeSymmetric(int bits, const float* x, std::byte* out) {
  const int zero = 1 << (bits - 1);
  const float scale = FindExtremes(x).farthest / static_cast<float>(-zero);
  const float inverse = Inverse(scale);
  uint8_t codes[kBlock];
  for (size_t i = 0; i < kBlock; ++i) {
    codes[i] = Truncate(x[i] * inverse + (static_cast<float>(zero) + 0.5f), 2 * zero - 1);
  }
  StoreHalf(scale, out);
  if (bits == 5) StoreHighBits(codes, out + 2);
  StoreNibbles(codes, out + (bits == 5 ? 6 : 2));
}

// Codes from the least number on.
void EncodeWithMinimum(int bits, const float* x, std::byte* out) {
  const Extremes extremes = FindExtremes(x);
  const int top = (1 << bits) - 1;
  const float scale = (extremes.high - extremes.low) / static_cast<float>(top);
  const float inverse = Inverse(scale);
  uint8_t codes[kBlock];
  for (size_t i = 0; i < kBlock; ++i) codes[i] = Truncate((x[i] - extremes.low) * inverse + 0.5f, top);
  StoreHalf(scale, out);
  StoreHalf(extremes.low, out + 2);
  if (bits == 5) StoreHighBits(codes, out + 4);
  StoreNibbles(codes, out + (bits == 5 ? 8 : 4));
}

// Calls encode(block of the row, its bytes) for every block.
template <typename Encode>
void ForBlocks(GgmlType type, const float* row, size_t cols, std::byte* out, const Encode& encode) {
  const GgmlTypeInfo& info = *FindGgmlType(type);
  for (size_t b = 0; b < cols / info.elements; ++b) encode(row + b * info.elements, out + b * info.bytes);
}

template <typename Convert>
void EncodeHalfs(const float* row, size_t cols, std::byte* out, const Convert& convert) {
  for (size_t i = 0; i < cols; ++i) {
    const uint16_t bits = convert(row[i]);
    std::memcpy(out + 2 * i, &bits, sizeof bits);
  }
}
template <typename Convert>
void DecodeHalfs(const std::byte* row, size_t cols, float* out, const Convert& convert) {
  for (size_t i = 0; i < cols; ++i) {
    uint16_t bits;
    std::memcpy(&bits, row + 2 * i, sizeof bits);
    out[i] = convert(bits);
  }
}

}  // namespace

bool CanDecodeGguf(GgmlType type) {
  switch (type) {
    case GgmlType::kF32:
    case GgmlType::kF16:
    case GgmlType::kBF16:
    case GgmlType::kQ8_0:
    case GgmlType::kQ4_0:
    case GgmlType::kQ4_1:
    case GgmlType::kQ5_0:
    case GgmlType::kQ5_1:
    case GgmlType::kQ2_K:
    case GgmlType::kQ3_K:
    case GgmlType::kQ4_K:
    case GgmlType::kQ5_K:
    case GgmlType::kQ6_K:
    case GgmlType::kMXFP4:
      return true;
  }
  return false;
}

bool CanEncodeGguf(GgmlType type) {
  return CanDecodeGguf(type) && type != GgmlType::kQ2_K && type != GgmlType::kQ3_K &&
         type != GgmlType::kMXFP4;
}

void DecodeGgufGroup(GgmlType type, const std::byte* row, size_t group, GgufGroup& out) {
  out.minima[0] = out.minima[1] = 0;
  out.has_minimum = false;
  if (FindGgmlType(type)->elements != kBlock) return DecodeGgufKGroup(type, row, group, out);
  const std::byte* block = row + group * FindGgmlType(type)->bytes;
  if (type == GgmlType::kMXFP4) return DecodeMxfp4(block, out);
  out.scales[0] = out.scales[1] = LoadHalf(block);
  switch (type) {
    case GgmlType::kQ8_0:
      std::memcpy(out.codes, block + 2, kBlock);
      return;
    case GgmlType::kQ4_0:
      return DecodeNibbles(block + 2, 8, out.codes);
    case GgmlType::kQ5_0:
      return DecodeFiveBits(block + 2, block + 6, 16, out.codes);
    case GgmlType::kQ4_1:
    case GgmlType::kQ5_1:
      out.minima[0] = out.minima[1] = LoadHalf(block + 2);
      out.has_minimum = true;
      return type == GgmlType::kQ4_1 ? DecodeNibbles(block + 4, 0, out.codes)
                                     : DecodeFiveBits(block + 4, block + 8, 0, out.codes);
    default:
      QWEN25_CHECK(false);
  }
}

void DecodeGgufRow(GgmlType type, const std::byte* row, size_t cols, float* out) {
  QWEN25_CHECK(CanDecodeGguf(type));
  switch (type) {
    case GgmlType::kF32:
      std::memcpy(out, row, cols * sizeof(float));
      return;
    case GgmlType::kF16:
      return DecodeHalfs(row, cols, out, Float16ToFloat);
    case GgmlType::kBF16:
      return DecodeHalfs(row, cols, out, BFloat16ToFloat);
    default:
      break;
  }
  for (size_t g = 0; g < cols / kGgufGroup; ++g) {
    GgufGroup group;
    DecodeGgufGroup(type, row, g, group);
    for (size_t i = 0; i < kGgufGroup; ++i) {
      const float product = group.scales[i / 16] * static_cast<float>(group.codes[i]);
      out[g * kGgufGroup + i] = group.has_minimum ? product + group.minima[i / 16] : product;
    }
  }
}

void EncodeGgufRow(GgmlType type, const float* row, size_t cols, std::byte* out) {
  switch (type) {
    case GgmlType::kF32:
      std::memcpy(out, row, cols * sizeof(float));
      return;
    case GgmlType::kF16:
      return EncodeHalfs(row, cols, out, FloatToFloat16);
    case GgmlType::kBF16:
      return EncodeHalfs(row, cols, out, FloatToBFloat16);
    case GgmlType::kQ8_0:
      return ForBlocks(type, row, cols, out, EncodeQ8_0);
    case GgmlType::kQ4_0:
    case GgmlType::kQ5_0:
      return ForBlocks(type, row, cols, out, [type](const float* x, std::byte* block) {
        EncodeSymmetric(type == GgmlType::kQ4_0 ? 4 : 5, x, block);
      });
    case GgmlType::kQ4_1:
    case GgmlType::kQ5_1:
      return ForBlocks(type, row, cols, out, [type](const float* x, std::byte* block) {
        EncodeWithMinimum(type == GgmlType::kQ4_1 ? 4 : 5, x, block);
      });
    case GgmlType::kQ4_K:
    case GgmlType::kQ5_K:
    case GgmlType::kQ6_K:
      return ForBlocks(type, row, cols, out,
                       [type](const float* x, std::byte* block) { EncodeGgufKBlock(type, x, block); });
    case GgmlType::kQ2_K:
    case GgmlType::kQ3_K:
    case GgmlType::kMXFP4:
      break;  // CanEncodeGguf
  }
  QWEN25_CHECK(false);
}

void EncodeFittedQ4_0Row(const float* row, size_t cols, std::byte* out) {
  ForBlocks(GgmlType::kQ4_0, row, cols, out, [](const float* x, std::byte* block) {
    EncodedGroup group;
    EncodeInt4(x, group);
    std::memcpy(block, &group.scale, sizeof group.scale);
    StoreNibbles(group.codes, block + 2);
  });
}

}  // namespace qwen25
