// Layouts (bytes, little-endian), with groups g = 0..7 of 32 numbers:
//   Q4_K, 144: f16 d, f16 dmin, 12 bytes of 6-bit scales and minima, 128 bytes: byte 32 (g / 2) + i holds
//              number i of group g in its low (g even) or high half
//   Q5_K, 176: the same with 32 bytes before the last part: bit g of byte i is bit 4 of number i of group g
//     number = d * scale[g] * code - dmin * minimum[g]
//   Q6_K, 210: 128 bytes of low 4 bits, 64 bytes of high 2 bits, 16 signed scales of 16 numbers each, f16 d
//     number = d * scale[2 g + i / 16] * (code - 32)
//   Q2_K, 84:  16 bytes of 4-bit scales (low) and minima (high) of 16 numbers each, 64 bytes: byte 32 (g / 4)
//   + i
//              holds number i of group g in its bits 2 (g % 4) and 2 (g % 4) + 1, f16 d, f16 dmin
//     number = d * scale[2 g + i / 16] * code - dmin * minimum[2 g + i / 16]
//   Q3_K, 110: 32 bytes: bit g of byte i is bit 2 of number i of group g, 64 bytes as in Q2_K, 12 bytes of
//   6-bit
//              scales of 16 numbers each, f16 d
//     number = d * (scale[2 g + i / 16] - 32) * (code - 4)
// Source: block_q2_K, block_q3_K, block_q4_K, block_q5_K and block_q6_K in ggml-common.h.
#include "quant/gguf_k_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/dtype.h"

namespace qwen25 {
namespace {

constexpr size_t kBlock = 256;
constexpr size_t kGroups = kBlock / kGgufGroup;
constexpr size_t kScaleBytes = 12;
constexpr int kTopSixBits = 63;

// To the nearest integer, ties to even, for |x| < 2^22; unlike std::nearbyint a vector loop everywhere.
float Round(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return (x + kShift) - kShift;
}

// Scale and minimum of groups 0..3 are the low 6 bits of bytes g and 4 + g; of groups 4..7, the halves of
// byte 4 + g, with their two highest bits on top of bytes g - 4 and g.
void UnpackScales(const std::byte* bytes, size_t group, int& scale, int& minimum) {
  const auto byte = [&](size_t i) { return static_cast<int>(bytes[i]); };
  if (group < 4) {
    scale = byte(group) & 63;
    minimum = byte(4 + group) & 63;
  } else {
    scale = (byte(4 + group) & 15) | (byte(group - 4) >> 6) << 4;
    minimum = (byte(4 + group) >> 4) | (byte(group) >> 6) << 4;
  }
}
void PackScales(const int* scales, const int* minima, std::byte* bytes) {
  for (size_t g = 0; g < 4; ++g) {
    bytes[g] = static_cast<std::byte>(scales[g] | (scales[4 + g] >> 4) << 6);
    bytes[4 + g] = static_cast<std::byte>(minima[g] | (minima[4 + g] >> 4) << 6);
    bytes[8 + g] = static_cast<std::byte>((scales[4 + g] & 15) | (minima[4 + g] & 15) << 4);
  }
}

// x ~ scale * code - minimum, codes 0..top.
struct Affine {
  float scale = 0, minimum = 0;
};

float Codes(const float* x, Affine fit, float top, float* codes) {
  const float inverse = fit.scale > 0 ? 1.0f / fit.scale : 0.0f;
  float error = 0;
  for (size_t i = 0; i < kGgufGroup; ++i) {
    // In this order NaN, which scales beyond float16 lead to, becomes 0.
    codes[i] = std::min(std::max(0.0f, Round(std::min((x[i] + fit.minimum) * inverse, 1000.0f))), top);
    const float difference = fit.scale * codes[i] - fit.minimum - x[i];
    error += difference * difference;
  }
  return error;
}

// The scale and minimum (not negative) of least squared error for given codes.
Affine LeastSquares(const float* x, const float* codes) {
  float q = 0, qq = 0, s = 0, xq = 0;
  for (size_t i = 0; i < kGgufGroup; ++i) {
    q += codes[i];
    qq += codes[i] * codes[i];
    s += x[i];
    xq += x[i] * codes[i];
  }
  constexpr float kCount = kGgufGroup;
  const float determinant = kCount * qq - q * q;
  if (determinant > 0) {
    const Affine fit = {(kCount * xq - q * s) / determinant, (q * xq - qq * s) / determinant};
    if (fit.minimum >= 0) return fit;
  }
  return {qq > 0 ? xq / qq : 0, 0};
}

Affine SearchAffine(const float* x, float top) {
  const float low = std::min(0.0f, *std::min_element(x, x + kGgufGroup));
  const float high = *std::max_element(x, x + kGgufGroup);
  if (!(high > low)) return {0, -low};
  float codes[kGgufGroup];
  Affine best = {(high - low) / top, -low};
  float best_error = Codes(x, best, top, codes);
  const auto consider = [&](float start, float range) {
    Codes(x, {(high - start) / range, -start}, top, codes);
    const Affine fit = LeastSquares(x, codes);
    if (!(fit.scale > 0)) return;
    const float error = Codes(x, fit, top, codes);
    if (error >= best_error) return;
    best_error = error;
    best = fit;
  };
  // How many codes the numbers spread over.
  for (int c = 0; c <= 20; ++c) consider(low, top - 1 + 0.1f * static_cast<float>(c));
  // Beside an outlier it is better that a code falls into the midst of the others than on their least.
  for (int c = 0; c <= 4 && high > 0; ++c) {
    for (const float part : {0.0f, 0.5f}) consider(part * low, top - 1 + 0.5f * static_cast<float>(c));
  }
  return best;
}

// Scales and minima of all groups as the block holds them.
struct AffineBlock {
  float d = 0, dmin = 0;
  int scales[kGroups] = {}, minima[kGroups] = {};
  float codes[kBlock] = {};

  Affine At(size_t group) const {
    return {d * static_cast<float>(scales[group]), dmin * static_cast<float>(minima[group])};
  }
};

// The pair of 6-bit codes around `fit` whose numbers come closest to x.
void ChooseSixBits(const float* x, Affine fit, float top, size_t group, AffineBlock& block) {
  const auto nearest = [](float value, float unit) {
    const float code = unit > 0 ? std::round(value / unit) : 0;
    return code > 0 ? static_cast<int>(std::min(code, float{kTopSixBits})) : 0;  // NaN is 0
  };
  const int scale = nearest(fit.scale, block.d), minimum = nearest(fit.minimum, block.dmin);
  float best_error = -1, codes[kGgufGroup];
  for (int s = std::max(scale - 1, 0); s <= std::min(scale + 1, kTopSixBits); ++s) {
    for (int m = std::max(minimum - 1, 0); m <= std::min(minimum + 1, kTopSixBits); ++m) {
      const Affine candidate = {block.d * static_cast<float>(s), block.dmin * static_cast<float>(m)};
      const float error = Codes(x, candidate, top, codes);
      if (best_error >= 0 && error >= best_error) continue;
      best_error = error;
      block.scales[group] = s;
      block.minima[group] = m;
      std::copy_n(codes, kGgufGroup, block.codes + group * kGgufGroup);
    }
  }
}

void EncodeAffine(GgmlType type, const float* x, std::byte* out) {
  const float top = type == GgmlType::kQ4_K ? 15 : 31;
  Affine fits[kGroups];
  float greatest_scale = 0, greatest_minimum = 0;
  for (size_t g = 0; g < kGroups; ++g) {
    fits[g] = SearchAffine(x + g * kGgufGroup, top);
    greatest_scale = std::max(greatest_scale, fits[g].scale);
    greatest_minimum = std::max(greatest_minimum, fits[g].minimum);
  }
  AffineBlock block;
  block.d = StoreHalf(greatest_scale / kTopSixBits, out);
  block.dmin = StoreHalf(greatest_minimum / kTopSixBits, out + 2);
  for (size_t g = 0; g < kGroups; ++g) ChooseSixBits(x + g * kGgufGroup, fits[g], top, g, block);
  PackScales(block.scales, block.minima, out + 4);
  std::byte* high = out + 4 + kScaleBytes;
  std::byte* low = high + (type == GgmlType::kQ5_K ? kGgufGroup : 0);
  std::memset(high, 0, kGgufGroup);
  std::memset(low, 0, kBlock / 2);
  for (size_t g = 0; g < kGroups; ++g) {
    for (size_t i = 0; i < kGgufGroup; ++i) {
      const auto code = static_cast<unsigned>(block.codes[g * kGgufGroup + i]);
      low[g / 2 * kGgufGroup + i] |= static_cast<std::byte>((code & 15) << (g % 2 * 4));
      if (type == GgmlType::kQ5_K) high[i] |= static_cast<std::byte>((code >> 4) << g);
    }
  }
}

constexpr size_t kSixBitGroup = 16;
constexpr size_t kSixBitGroups = kBlock / kSixBitGroup;

// Codes -32..31 for x ~ scale * code.
float SymmetricCodes(const float* x, float scale, float* codes) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  float error = 0;
  for (size_t i = 0; i < kSixBitGroup; ++i) {
    codes[i] = std::min(std::max(-32.0f, Round(std::clamp(x[i] * inverse, -1000.0f, 1000.0f))), 31.0f);
    const float difference = scale * codes[i] - x[i];
    error += difference * difference;
  }
  return error;
}

float SearchSymmetric(const float* x) {
  float farthest = 0;
  for (size_t i = 0; i < kSixBitGroup; ++i) {
    if (std::fabs(x[i]) > std::fabs(farthest)) farthest = x[i];
  }
  if (std::fabs(farthest) < 1e-15f) return 0;
  constexpr int kCandidates = 19;
  float best = 0, best_error = -1, codes[kSixBitGroup];
  for (int c = 0; c < kCandidates; ++c) {
    const float aside = 0.1f * static_cast<float>((c + 1) / 2);  // 32 first, then away from it on both sides
    SymmetricCodes(x, farthest / -(c % 2 == 0 ? 32 + aside : 32 - aside), codes);
    float xq = 0, qq = 0;
    for (size_t i = 0; i < kSixBitGroup; ++i) {
      xq += x[i] * codes[i];
      qq += codes[i] * codes[i];
    }
    if (!(qq > 0)) continue;
    const float error = SymmetricCodes(x, xq / qq, codes);
    if (best_error >= 0 && error >= best_error) continue;
    best_error = error;
    best = xq / qq;
  }
  return best;
}

void EncodeSixBits(const float* x, std::byte* out) {
  float scales[kSixBitGroups], farthest = 0;
  for (size_t s = 0; s < kSixBitGroups; ++s) {
    scales[s] = SearchSymmetric(x + s * kSixBitGroup);
    if (std::fabs(scales[s]) > std::fabs(farthest)) farthest = scales[s];
  }
  std::byte *low = out, *high = out + 128, *stored = out + 192;
  std::memset(out, 0, 208);
  const float d = StoreHalf(farthest / -128, out + 208);
  for (size_t s = 0; s < kSixBitGroups; ++s) {
    const float* group = x + s * kSixBitGroup;
    const float ratio = d == 0 ? 0 : std::round(scales[s] / d);
    const int nearest = std::isfinite(ratio) ? static_cast<int>(std::clamp(ratio, -128.0f, 127.0f)) : 0;
    float best_error = -1, codes[kSixBitGroup], best_codes[kSixBitGroup] = {};
    int best = 0;
    for (int code = std::max(nearest - 2, -128); code <= std::min(nearest + 2, 127); ++code) {
      const float error = SymmetricCodes(group, d * static_cast<float>(code), codes);
      if (best_error >= 0 && error >= best_error) continue;
      best_error = error;
      best = code;
      std::copy_n(codes, kSixBitGroup, best_codes);
    }
    stored[s] = static_cast<std::byte>(static_cast<int8_t>(best));
    const size_t g = s / 2, half = g / 4, part = g % 4;
    for (size_t i = 0; i < kSixBitGroup; ++i) {
      const size_t at = s % 2 * kSixBitGroup + i;  // in the group of 32
      const auto code = static_cast<unsigned>(static_cast<int>(best_codes[i]) + 32);
      low[64 * half + part % 2 * 32 + at] |= static_cast<std::byte>((code & 15) << (part / 2 * 4));
      high[32 * half + at] |= static_cast<std::byte>((code >> 4) << (part * 2));
    }
  }
}

void DecodeSixBits(const std::byte* block, size_t g, GgufGroup& out) {
  const float d = LoadHalf(block + 208);
  for (size_t s = 0; s < 2; ++s) {
    out.scales[s] = d * static_cast<float>(static_cast<int8_t>(block[192 + 2 * g + s]));
  }
  const size_t half = g / 4, part = g % 4;
  const std::byte *low = block + 64 * half + part % 2 * 32, *high = block + 128 + 32 * half;
  for (size_t i = 0; i < kGgufGroup; ++i) {
    const int code = (static_cast<int>(low[i]) >> (part / 2 * 4) & 15) |
                     (static_cast<int>(high[i]) >> (part * 2) & 3) << 4;
    out.codes[i] = static_cast<int8_t>(code - 32);
  }
}

// The code of number i of group g has two bits in these bytes.
int TwoBits(const std::byte* bytes, size_t g, size_t i) {
  return static_cast<int>(bytes[g / 4 * kGgufGroup + i]) >> (g % 4 * 2) & 3;
}

void DecodeTwoBits(const std::byte* block, size_t g, GgufGroup& out) {
  const std::byte* codes = block + kBlock / 16;
  const float d = LoadHalf(codes + 64), dmin = LoadHalf(codes + 66);
  for (size_t s = 0; s < 2; ++s) {
    const int byte = static_cast<int>(block[2 * g + s]);
    out.scales[s] = d * static_cast<float>(byte & 15);
    out.minima[s] = -(dmin * static_cast<float>(byte >> 4));
  }
  out.has_minimum = true;
  for (size_t i = 0; i < kGgufGroup; ++i) out.codes[i] = static_cast<int8_t>(TwoBits(codes, g, i));
}

// Scale s of 16 has its low 4 bits in a half of byte s % 8, and its high 2 bits in byte 8 + s % 4.
int ThreeBitScale(const std::byte* bytes, size_t s) {
  const int low = static_cast<int>(bytes[s % 8]) >> (s / 8 * 4) & 15;
  return (low | (static_cast<int>(bytes[8 + s % 4]) >> (s / 4 * 2) & 3) << 4) - 32;
}

void DecodeThreeBits(const std::byte* block, size_t g, GgufGroup& out) {
  const std::byte *low = block + kGgufGroup, *scales = low + 64;
  const float d = LoadHalf(scales + kScaleBytes);
  for (size_t s = 0; s < 2; ++s) {
    out.scales[s] = d * static_cast<float>(ThreeBitScale(scales, 2 * g + s));
  }
  for (size_t i = 0; i < kGgufGroup; ++i) {
    const int high = static_cast<int>(block[i]) >> g & 1;
    out.codes[i] = static_cast<int8_t>((TwoBits(low, g, i) | high << 2) - 4);
  }
}

}  // namespace

void DecodeGgufKGroup(GgmlType type, const std::byte* row, size_t group, GgufGroup& out) {
  const std::byte* block = row + group / kGroups * FindGgmlType(type)->bytes;
  const size_t g = group % kGroups;
  out.minima[0] = out.minima[1] = 0;
  out.has_minimum = false;
  if (type == GgmlType::kQ2_K) return DecodeTwoBits(block, g, out);
  if (type == GgmlType::kQ3_K) return DecodeThreeBits(block, g, out);
  if (type == GgmlType::kQ6_K) return DecodeSixBits(block, g, out);
  int scale, minimum;
  UnpackScales(block + 4, g, scale, minimum);
  out.scales[0] = out.scales[1] = LoadHalf(block) * static_cast<float>(scale);
  out.minima[0] = out.minima[1] = -(LoadHalf(block + 2) * static_cast<float>(minimum));
  out.has_minimum = true;
  const std::byte* high = block + 4 + kScaleBytes;
  const std::byte* low = high + (type == GgmlType::kQ5_K ? kGgufGroup : 0) + g / 2 * kGgufGroup;
  for (size_t i = 0; i < kGgufGroup; ++i) {
    int code = static_cast<int>(low[i]) >> (g % 2 * 4) & 15;
    if (type == GgmlType::kQ5_K) code |= (static_cast<int>(high[i]) >> g & 1) << 4;
    out.codes[i] = static_cast<int8_t>(code);
  }
}

void EncodeGgufKBlock(GgmlType type, const float* x, std::byte* out) {
  QWEN25_CHECK(type == GgmlType::kQ4_K || type == GgmlType::kQ5_K || type == GgmlType::kQ6_K);
  type == GgmlType::kQ6_K ? EncodeSixBits(x, out) : EncodeAffine(type, x, out);
}

}  // namespace qwen25
