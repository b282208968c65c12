// Formats of keys and values: what a number becomes, and what attention computes from it.
#include "kernels/kv_block.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/dtype.h"
#include "base/rng.h"
#include "kernels/attention.h"
#include "kernels/isa.h"
#include "kernels/isa_test_util.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::nanf("");

// Runs body() once for each instruction set that this machine and this build have.
template <class Body>
void ForEachIsa(const Body& body) {
  for (const std::string& isa : IsaNames()) {
    SCOPED_TRACE(isa);
    ASSERT_TRUE(ForceIsa(isa).ok());
    body();
  }
  ASSERT_TRUE(ForceIsa(IsaNames().front()).ok());
}

// A block in float32.
struct Floats {
  size_t head_dim;
  std::vector<float> keys, values;

  explicit Floats(size_t head_dim, uint64_t seed = 1)
      : head_dim(head_dim), keys(head_dim * kBlockTokens), values(keys.size()) {
    Rng rng(seed);
    for (float& x : keys) x = static_cast<float>(rng.Normal());
    for (float& x : values) x = static_cast<float>(rng.Normal());
  }
  KvBlock block() { return {keys.data(), kBlockTokens, values.data()}; }
  float& key(size_t token, size_t d) { return keys[d * kBlockTokens + token]; }
  float& value(size_t token, size_t d) { return values[token * head_dim + d]; }
};

// The same in 8 bits; every byte that nobody writes is 0x55.
struct Codes {
  size_t head_dim;
  AlignedBuffer<std::byte> memory;

  explicit Codes(size_t head_dim) : head_dim(head_dim), memory(Int8KvBlock::NumBytes(head_dim)) {
    std::fill_n(memory.data(), memory.size(), std::byte{0x55});
  }
  Int8KvBlock block() const { return Int8KvBlock::At(const_cast<std::byte*>(memory.data()), head_dim); }
  float KeyScale(size_t token, size_t d) const { return Scale(block().key_scales, token, d); }
  float ValueScale(size_t token, size_t d) const { return Scale(block().value_scales, token, d); }
  float Key(size_t token, size_t d) const {
    return KeyScale(token, d) * static_cast<float>(block().keys[d * kBlockTokens + token]);
  }
  float Value(size_t token, size_t d) const {
    return ValueScale(token, d) * static_cast<float>(block().values[token * head_dim + d]);
  }
  // What the codes stand for, exactly.
  Floats ToFloats() const {
    Floats floats(head_dim);
    for (size_t t = 0; t < kBlockTokens; ++t) {
      for (size_t d = 0; d < head_dim; ++d) {
        floats.key(t, d) = Key(t, d);
        floats.value(t, d) = Value(t, d);
      }
    }
    return floats;
  }
  bool operator==(const Codes& other) const {
    return std::equal(memory.data(), memory.data() + memory.size(), other.memory.data());
  }

 private:
  static float Scale(const uint16_t* scales, size_t token, size_t d) {
    return Float16ToFloat(scales[d / Int8KvBlock::kGroup * kBlockTokens + token]);
  }
};

TEST(KvBlockTest, PartsAreAlignedAndSideBySide) {
  AlignedBuffer<std::byte> memory(Int8KvBlock::NumBytes(256));
  for (size_t head_dim = 2; head_dim <= 256; head_dim += 2) {
    const Int8KvBlock block = Int8KvBlock::At(memory.data(), head_dim);
    const auto offset = [&](const void* part) {
      return static_cast<size_t>(static_cast<const std::byte*>(part) - memory.data());
    };
    const size_t codes = head_dim * 64, scales = (head_dim + 31) / 32 * 64 * 2;
    EXPECT_EQ(offset(block.keys), 0u);
    EXPECT_EQ(offset(block.key_scales), codes);
    EXPECT_EQ(offset(block.value_scales), codes + scales);
    EXPECT_EQ(offset(block.values), codes + 2 * scales);
    EXPECT_EQ(Int8KvBlock::NumBytes(head_dim), 2 * (codes + scales));
    for (const size_t bytes : {codes, scales, KvBlock::NumBytes(head_dim), HalfKvBlock::NumBytes(head_dim)}) {
      EXPECT_EQ(bytes % 64, 0u);
    }
  }
}

TEST(Int8KvBlockTest, CodesAreTheNearestWithTheScaleThatIsKept) {
  ForEachIsa([] {
    for (const size_t head_dim : {2, 8, 30, 32, 64, 80, 128}) {
      Floats floats(head_dim);
      // Tokens of all magnitudes that float16 scales have, subnormal ones included.
      for (size_t t = 0; t < kBlockTokens; ++t) {
        for (size_t d = 0; d < head_dim; ++d) {
          floats.key(t, d) *= std::ldexp(1.0f, static_cast<int>(t) - 46);
          floats.value(t, d) *= std::ldexp(1.0f, static_cast<int>(t) - 46);
        }
      }
      const Codes codes(head_dim);
      NarrowSlots(head_dim, 0, kBlockTokens, floats.block(), codes.block());
      for (size_t t = 0; t < kBlockTokens; ++t) {
        for (size_t d = 0; d < head_dim; ++d) {
          const size_t first = d / 32 * 32, end = std::min(head_dim, first + 32);
          float key_max = 0, value_max = 0;
          for (size_t i = first; i < end; ++i) {
            key_max = std::max(key_max, std::abs(floats.key(t, i)));
            value_max = std::max(value_max, std::abs(floats.value(t, i)));
          }
          ASSERT_EQ(codes.KeyScale(t, d), Float16ToFloat(FloatToFloat16(key_max / 127)));
          ASSERT_EQ(codes.ValueScale(t, d), Float16ToFloat(FloatToFloat16(value_max / 127)));
          const auto bound = [](float scale, float max) {
            return scale * 0.5001f + (max < 127 * 0x1p-14f ? 0x1p-18f : 0);
          };
          ASSERT_LE(std::abs(codes.Key(t, d) - floats.key(t, d)), bound(codes.KeyScale(t, d), key_max));
          ASSERT_LE(std::abs(codes.Value(t, d) - floats.value(t, d)),
                    bound(codes.ValueScale(t, d), value_max));
          ASSERT_GE(codes.block().keys[d * kBlockTokens + t], -127);
          ASSERT_GE(codes.block().values[t * head_dim + d], -127);
        }
      }
    }
  });
}

TEST(Int8KvBlockTest, PiecesGiveTheBytesOfTheWhole) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    const size_t head_dim = 2 * *rc::gen::inRange<size_t>(1, 70);
    Floats floats(head_dim, seed);
    const Codes whole(head_dim), pieces(head_dim);
    NarrowSlots(head_dim, 0, kBlockTokens, floats.block(), whole.block());
    for (size_t first = 0; first < kBlockTokens;) {
      const size_t count = std::min(kBlockTokens - first, *rc::gen::inRange<size_t>(1, 65));
      NarrowSlots(head_dim, first, count, floats.block(), pieces.block());
      first += count;
    }
    RC_ASSERT(pieces == whole);
  }));
}

TEST(Int8KvBlockTest, WhatIsNotFiniteMarksItsGroupAndNothingElse) {
  ForEachIsa([] {
    constexpr size_t kDim = 80;
    Floats floats(kDim);
    const Codes good(kDim);
    NarrowSlots(kDim, 0, kBlockTokens, floats.block(), good.block());
    for (const float bad : {kNan, -kNan, kInfinity, -kInfinity, 8.4e6f, std::numeric_limits<float>::max()}) {
      Floats damaged = floats;
      damaged.key(7, 40) = damaged.value(9, 79) = bad;
      const Codes codes(kDim);
      NarrowSlots(kDim, 0, kBlockTokens, damaged.block(), codes.block());
      for (size_t t = 0; t < kBlockTokens; ++t) {
        for (size_t d = 0; d < kDim; ++d) {
          if (t == 7 && d / 32 == 1) {
            ASSERT_TRUE(std::isnan(codes.Key(t, d)));
          } else {
            ASSERT_EQ(codes.Key(t, d), good.Key(t, d));
          }
          if (t == 9 && d / 32 == 2) {
            ASSERT_TRUE(std::isnan(codes.Value(t, d)));
          } else {
            ASSERT_EQ(codes.Value(t, d), good.Value(t, d));
          }
        }
      }
    }
    // The greatest that is kept.
    floats.key(7, 40) = 127 * 65504.0f;
    const Codes codes(kDim);
    NarrowSlots(kDim, 0, kBlockTokens, floats.block(), codes.block());
    EXPECT_EQ(codes.Key(7, 40), 127 * 65504.0f);
    // Nothing but zeros, and what rounds to them.
    std::fill(floats.values.begin(), floats.values.end(), 1e-8f);
    std::fill(floats.keys.begin(), floats.keys.end(), 0.0f);
    NarrowSlots(kDim, 0, kBlockTokens, floats.block(), codes.block());
    EXPECT_EQ(codes.Key(3, 3), 0);
    EXPECT_EQ(codes.Value(3, 3), 0);
  });
}

// Tokens at the end of block 0, `num_heads` heads each, that attend to that block; queries are not rotated.
struct Queries {
  size_t head_dim, num_heads, num_tokens;
  std::vector<float> rows, cos, sin;

  Queries(size_t head_dim, size_t num_heads, size_t num_tokens)
      : head_dim(head_dim),
        num_heads(num_heads),
        num_tokens(num_tokens),
        rows(num_tokens * num_heads * head_dim),
        cos(kBlockTokens * head_dim / 2, 1.0f),
        sin(cos.size(), 0.0f) {
    Rng rng(5);
    for (float& x : rows) x = static_cast<float>(rng.Normal());
  }

  // Outputs of tokens [first, first + count), attend(tile, angles, state) being what reads the block.
  template <class Attend>
  std::vector<float> Run(size_t first, size_t count, const Attend& attend) const {
    const size_t width = num_heads * head_dim;
    const QueryTile tile = {.head_dim = head_dim,
                            .num_heads = num_heads,
                            .num_tokens = count,
                            .first_position = kBlockTokens - num_tokens + first,
                            .always_visible = 0};
    const RotaryAngles angles = {.head_dim = head_dim,
                                 .offset_cos = cos.data(),
                                 .offset_sin = sin.data(),
                                 .block_cos = nullptr,
                                 .block_sin = nullptr,
                                 .descending_cos = nullptr,
                                 .descending_sin = nullptr,
                                 .descending_stride = 0,
                                 .max_distance = 0};
    AlignedBuffer<float> memory(AttendState::NumFloats(head_dim, tile.num_rows()));
    const AttendState state(memory.data(), head_dim, tile.num_rows());
    LoadQueries(tile, angles, {rows.data() + first * width, width},
                1 / std::sqrt(static_cast<float>(head_dim)), state);
    attend(tile, angles, state);
    std::vector<float> out(count * width);
    StoreOutputs(tile, state, {out.data(), width}, {nullptr, 0});
    return out;
  }
  std::vector<float> Run(size_t first, size_t count, const Int8KvBlock& block) const {
    AlignedBuffer<float> scratch(2 * head_dim * kBlockTokens);
    const KvBlock widened = {scratch.data(), kBlockTokens, scratch.data() + head_dim * kBlockTokens};
    return Run(first, count,
               [&](const QueryTile& tile, const RotaryAngles& angles, const AttendState& state) {
                 AttendToBlock(tile, angles, block, widened, 0, state);
               });
  }
  std::vector<float> Run(size_t first, size_t count, const KvBlock& block) const {
    return Run(first, count,
               [&](const QueryTile& tile, const RotaryAngles& angles, const AttendState& state) {
                 AttendToBlock(tile, angles, block, 0, state);
               });
  }
};

TEST(Int8KvBlockTest, AttentionIsThatOfTheNumbersItStandsFor) {
  ForEachIsa([] {
    for (const size_t head_dim : {2, 8, 30, 48, 64, 80, 128}) {
      for (const size_t heads : {1, 3, 7, 12, 16}) {
        Floats floats(head_dim);
        const Codes codes(head_dim);
        NarrowSlots(head_dim, 0, kBlockTokens, floats.block(), codes.block());
        Floats exact = codes.ToFloats();
        const Queries queries(head_dim, heads, 4);
        const std::vector<float> out = queries.Run(0, 4, codes.block());
        const std::vector<float> expected = queries.Run(0, 4, exact.block());
        for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], expected[i], 4e-6) << head_dim;
      }
    }
  });
}

// One token of few heads is read as it lies, many rows are widened first: the same bits.
TEST(Int8KvBlockTest, ARowDoesNotDependOnItsCompany) {
  ForEachIsa([] {
    for (const size_t head_dim : {6, 32, 80, 128}) {
      for (const size_t heads : {1, 2, 5, 7, 11, 14}) {
        Floats floats(head_dim);
        // What only the last tokens see is not finite.
        floats.key(62, 1) = kNan;
        floats.value(61, 1) = kInfinity;
        const Codes codes(head_dim);
        NarrowSlots(head_dim, 0, kBlockTokens, floats.block(), codes.block());
        const size_t num_tokens = 64 / heads;
        const Queries queries(head_dim, heads, num_tokens);
        const std::vector<float> together = queries.Run(0, num_tokens, codes.block());
        for (size_t t = 0; t < num_tokens; ++t) {
          const std::vector<float> alone = queries.Run(t, 1, codes.block());
          for (size_t i = 0; i < alone.size(); ++i) {
            const float x = together[t * alone.size() + i];
            const size_t position = kBlockTokens - num_tokens + t;
            // A key makes all of the output NaN, a value its own group.
            ASSERT_EQ(std::isnan(x), position >= 62 || (position == 61 && i % head_dim < 32))
                << position << " " << head_dim << " " << heads << " " << i << " " << x;
            ASSERT_EQ(std::bit_cast<uint32_t>(alone[i]), std::bit_cast<uint32_t>(x)) << heads << " " << t;
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace qwen25
