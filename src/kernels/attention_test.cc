// The exponential of attention. The rest is held to its oracles in ops/attention/block_attention_test.cc.
#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/isa_test_util.h"

namespace qwen25 {
namespace {

TEST(PowersOfTwoTest, RelativeErrorIsBelowItsBound) {
  std::vector<float> x, y;
  for (float value = 8; value > -100; value -= 1.03e-4f) x.push_back(value);
  for (float value = 1e-30f; value < 8; value *= 1.01f) {
    x.push_back(value);
    x.push_back(-value);
  }
  y.resize(x.size());
  ForEachTarget([&] {
    PowersOfTwo(x.size(), x.data(), y.data());
    double greatest = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = std::exp2(double{x[i]});
      const double error = std::abs(y[i] - expected) / expected;
      ASSERT_FALSE(std::isnan(error)) << x[i];
      greatest = std::max(greatest, error);
    }
    EXPECT_LT(greatest, 2 * 0x1p-23);
  });
}

TEST(PowersOfTwoTest, IntegersAreExactAndTheEndsAreKept) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  ForEachTarget([&] {
    for (int n = -100; n <= 127; ++n) {
      const float x = static_cast<float>(n);
      float y;
      PowersOfTwo(1, &x, &y);
      EXPECT_EQ(y, std::ldexp(1.0f, n));
    }
    const std::vector<float> x = {-100.5f, -1e30f, -infinity, nan, -nan};
    std::vector<float> y(x.size());
    PowersOfTwo(x.size(), x.data(), y.data());
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(y[i], 0x1p-100f);
    EXPECT_TRUE(std::isnan(y[3]));
    EXPECT_TRUE(std::isnan(y[4]));
  });
}

TEST(PowersOfTwoTest, EveryLengthStaysInside) {
  ForEachTarget([&] {
    for (size_t n = 0; n <= 40; ++n) {
      const std::vector<float> x(n, 3.0f);
      std::vector<float> y(n + 1, -1.0f);
      PowersOfTwo(n, x.data(), y.data());
      for (size_t i = 0; i < n; ++i) ASSERT_EQ(y[i], 8.0f);
      ASSERT_EQ(y[n], -1.0f);
    }
  });
}

TEST(QueryTileTest, MasksAreRangesOfKeys) {
  const QueryTile causal = {
      .head_dim = 8, .num_heads = 3, .num_tokens = 16, .first_position = 80, .always_visible = 0};
  EXPECT_EQ(causal.num_rows(), 48u);
  EXPECT_EQ(causal.block(), 1u);
  EXPECT_EQ(causal.first_offset(), 16u);
  EXPECT_EQ(causal.Visible(3), 84u);
  EXPECT_EQ(causal.VisibleInBlock(3, 0), 64u);
  EXPECT_EQ(causal.VisibleInBlock(3, 1), 20u);
  EXPECT_EQ(causal.VisibleInBlock(3, 2), 0u);
  EXPECT_EQ(causal.NumBlocks(), 2u);
  QueryTile prefix = causal;
  prefix.always_visible = 200;
  EXPECT_EQ(prefix.Visible(0), 200u);
  EXPECT_EQ(prefix.VisibleInBlock(0, 3), 8u);
  EXPECT_EQ(prefix.NumBlocks(), 4u);
  prefix.always_visible = 90;
  EXPECT_EQ(prefix.Visible(3), 90u);
  EXPECT_EQ(prefix.Visible(15), 96u);
  EXPECT_EQ(prefix.NumBlocks(), 2u);
}

TEST(QueryTileTest, WindowsHideKeysOnBothSides) {
  QueryTile tile = {.head_dim = 8,
                    .num_heads = 3,
                    .num_tokens = 16,
                    .first_position = 208,
                    .always_visible = 0,
                    .window = 80};
  EXPECT_EQ(tile.Hidden(0), 129u);  // 80 keys up to its own, 208
  EXPECT_EQ(tile.Visible(0), 209u);
  EXPECT_EQ(tile.HiddenInBlock(0, 1), 64u);
  EXPECT_EQ(tile.HiddenInBlock(0, 2), 1u);
  EXPECT_EQ(tile.HiddenInBlock(15, 2), 16u);
  EXPECT_EQ(tile.HiddenInBlock(15, 3), 0u);
  EXPECT_EQ(tile.FirstBlock(), 2u);
  EXPECT_EQ(tile.FirstBlockOfOwn(), 1u);  // of the token at 192
  tile.always_visible = 500;
  EXPECT_EQ(tile.Visible(0), 288u);  // up to the distance 79
  EXPECT_EQ(tile.Visible(15), 303u);
  EXPECT_EQ(tile.NumBlocks(), 5u);
  tile.always_visible = 290;
  EXPECT_EQ(tile.Visible(0), 288u);
  EXPECT_EQ(tile.Visible(3), 290u);
  tile.window = kNoWindow;
  EXPECT_EQ(tile.Hidden(15), 0u);
  EXPECT_EQ(tile.Visible(0), 290u);
  EXPECT_EQ(tile.FirstBlock(), 0u);
  EXPECT_EQ(tile.FirstBlockOfOwn(), 0u);
}

TEST(QueryTileTest, TilesHoldAPowerOfTwoTokensAndAtLeastOne) {
  for (size_t group = 1; group <= 130; ++group) {
    const size_t tokens = TokensPerTile(group);
    EXPECT_TRUE(std::has_single_bit(tokens));
    EXPECT_LE(tokens, kBlockTokens);
    EXPECT_EQ(RowsPerTile(group), tokens * group);
    EXPECT_LE(RowsPerTile(group), std::max(group, kMaxTileRows));
  }
}

}  // namespace
}  // namespace qwen25
