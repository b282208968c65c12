// Keys and values of one kv head of one block of 64 tokens, in the formats in which they are kept. Only
// this file knows where the parts of a format lie.
//
// Letters: D = head_dim (even), G = ceil(D / 32) groups of dimensions.
//
// A block of NumBytes(D) bytes begins at a multiple of 64, and so does each of its parts. Keys are transposed
// and rotated by their offset in the block, so that scores and outputs both accumulate in a fixed order with
// unit-stride loads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qwen25 {

inline constexpr size_t kBlockTokens = 64;
// Blocks that hold `num_tokens` tokens.
constexpr size_t BlocksFor(size_t num_tokens) {
  return (num_tokens + kBlockTokens - 1) / kBlockTokens;
}

// Float32, as computed.
struct KvBlock {
  float* keys;        // [D, key_stride]
  size_t key_stride;  // 64, or in temporary blocks their tokens rounded up to 16
  float* values;      // [tokens, D]

  static constexpr size_t NumBytes(size_t head_dim) { return 2 * head_dim * kBlockTokens * sizeof(float); }
  static KvBlock At(std::byte* data, size_t head_dim) {
    auto* keys = reinterpret_cast<float*>(data);
    return {keys, kBlockTokens, keys + head_dim * kBlockTokens};
  }
};

// Float16 (IEEE binary16).
struct HalfKvBlock {
  uint16_t* keys;    // [D, 64]
  uint16_t* values;  // [64, D]

  static constexpr size_t NumBytes(size_t head_dim) { return 2 * head_dim * kBlockTokens * sizeof(uint16_t); }
  static HalfKvBlock At(std::byte* data, size_t head_dim) {
    auto* keys = reinterpret_cast<uint16_t*>(data);
    return {keys, keys + head_dim * kBlockTokens};
  }
};

// Codes of 8 bits, -127 to 127: the numbers of 32 consecutive dimensions of a token are its scale of that
// group times their codes (the groups of GGUF's Q8_0). 8.5 bits per number if D is a multiple of 32.
struct Int8KvBlock {
  static constexpr size_t kGroup = 32;  // dimensions that share a scale; the last group may have fewer

  int8_t* keys;            // [D, 64]
  uint16_t* key_scales;    // [G, 64] float16
  uint16_t* value_scales;  // [G, 64] float16: like those of keys, so that a vector of them runs over tokens
  int8_t* values;          // [64, D]

  static constexpr size_t NumGroups(size_t head_dim) { return (head_dim + kGroup - 1) / kGroup; }
  static constexpr size_t NumBytes(size_t head_dim) {
    return 2 * kBlockTokens * (head_dim + NumGroups(head_dim) * sizeof(uint16_t));
  }
  static Int8KvBlock At(std::byte* data, size_t head_dim) {
    auto* keys = reinterpret_cast<int8_t*>(data);
    auto* scales = reinterpret_cast<uint16_t*>(keys + head_dim * kBlockTokens);
    const size_t num_scales = NumGroups(head_dim) * kBlockTokens;
    return {keys, scales, scales + num_scales, reinterpret_cast<int8_t*>(scales + 2 * num_scales)};
  }
};

// Rounds slots [first, first + count) of `from`, whose key_stride is 64, into `to`. The codes of a token do
// not depend on the other tokens.
void NarrowSlots(size_t head_dim, size_t first, size_t count, const KvBlock& from, const HalfKvBlock& to);
// scale = greatest magnitude / 127, rounded to float16 first, so that codes are the nearest ones for the
// stored scale: a number is off by scale / 2 at most, and by 2^-18 more if its group is below 127 * 2^-14,
// for which float16 has few scales. A group with a number that is not finite, or beyond 127 * 65504, gets a
// scale of NaN.
void NarrowSlots(size_t head_dim, size_t first, size_t count, const KvBlock& from, const Int8KvBlock& to);

}  // namespace qwen25
