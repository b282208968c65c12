#include "ops/routing/choose_blocks.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "base/rng.h"

namespace qwen25 {
namespace {

RoutingPolicy SmallTopK() {
  return {.kind = RoutingPolicy::Kind::kTopK,
          .max_blocks = 3,
          .top_p = 0.9f,
          .local_blocks = 1,
          .dense_below = 0};
}

TEST(ChooseBlocksTest, TakesTheGreatestAndOfEqualOnesTheEarlier) {
  RoutingPolicy policy = SmallTopK();
  const std::vector<float> shares = {-1.0f, 0.1f, 0.2f, 0.1f, 0.1f, 0.0f};
  std::vector<uint32_t> order(6);
  std::vector<uint64_t> chosen(1);
  EXPECT_FLOAT_EQ(ChooseBlocks(policy, shares, 0.3f, order, chosen), 0.7f);
  EXPECT_EQ(chosen[0], 0b001110u);
  policy.kind = RoutingPolicy::Kind::kTopP;
  policy.top_p = 0.5f;
  EXPECT_FLOAT_EQ(ChooseBlocks(policy, shares, 0.3f, order, chosen), 0.5f);
  EXPECT_EQ(chosen[0], 0b000100u);
  EXPECT_FLOAT_EQ(ChooseBlocks(policy, shares, 0.6f, order, chosen), 0.6f);
  EXPECT_EQ(chosen[0], 0u);
}

TEST(ChooseBlocksTest, TakesTheGreatestOfVeryMany) {
  EXPECT_TRUE(rc::check([] {
    const size_t count = *rc::gen::inRange<size_t>(1, 3000);
    RoutingPolicy policy{.kind = RoutingPolicy::Kind::kTopK};
    policy.max_blocks = *rc::gen::inRange<uint32_t>(1, 40);
    Rng rng(*rc::gen::arbitrary<uint64_t>());
    std::vector<float> shares(count);
    // Few different numbers, so that many are equal.
    for (float& share : shares) share = rng.Below(8) == 0 ? -1.0f : static_cast<float>(rng.Below(50)) / 50;
    std::vector<uint32_t> order(count), expected(count);
    std::vector<uint64_t> chosen((count + 63) / 64);
    ChooseBlocks(policy, shares, 0, order, chosen);
    std::iota(expected.begin(), expected.end(), 0u);
    std::ranges::stable_sort(expected, std::greater(), [&](uint32_t block) { return shares[block]; });
    for (size_t i = 0; i < count; ++i) {
      const uint32_t block = expected[i];
      const bool is_chosen = chosen[block / 64] >> (block % 64) & 1;
      RC_ASSERT(is_chosen == (i < policy.max_blocks && shares[block] >= 0));
    }
  }));
}

TEST(ChooseBlocksTest, UnknownSharesAreRead) {
  RoutingPolicy policy = SmallTopK();
  policy.max_blocks = 1;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<uint32_t> order(4);
  std::vector<uint64_t> chosen(1);
  ChooseBlocks(policy, std::vector<float>{-1, 0.9f, nan, 0.1f}, nan, order, chosen);
  EXPECT_EQ(chosen[0], 0b0100u);
}

}  // namespace
}  // namespace qwen25
