// The shortlist holds the greatest, on every instruction set.
#include "kernels/shortlist.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "kernels/isa_test_util.h"

namespace qwen25 {
namespace {

class ShortlistTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ASSERT_TRUE(ForceIsa(GetParam()).ok()); }
  void TearDown() override { ASSERT_TRUE(ForceIsa(IsaNames().front()).ok()); }
};

std::vector<uint32_t> ShortlistOf(const std::vector<float>& values, size_t count) {
  std::vector<uint32_t> order(values.size());
  order.resize(Shortlist(values.data(), values.size(), count, order.data()));
  return order;
}

TEST_P(ShortlistTest, HoldsTheGreatestAndFewMore) {
  Rng rng(5);
  for (const size_t num_values : {1, 7, 16, 61, 128, 129, 255, 513, 976, 3000, 20011}) {
    for (const size_t count : {1, 3, 16, 64, 500}) {
      std::vector<float> values(num_values);
      for (float& value : values) value = static_cast<float>(rng.Uniform());
      std::vector<uint32_t> expected(num_values);
      std::iota(expected.begin(), expected.end(), 0u);
      std::ranges::sort(expected, std::greater(), [&](uint32_t place) { return values[place]; });
      expected.resize(std::min(count, num_values));
      const std::vector<uint32_t> list = ShortlistOf(values, count);
      EXPECT_TRUE(std::ranges::is_sorted(list));
      for (const uint32_t place : expected) {
        EXPECT_TRUE(std::ranges::binary_search(list, place)) << place << " of " << num_values;
      }
      EXPECT_LE(list.size(), std::max<size_t>(2 * count, count + 20)) << num_values;
    }
  }
}

TEST_P(ShortlistTest, LeavesOutWhatIsNegativeAndKeepsWhatIsNoNumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const size_t num_values : {40, 2000}) {
    std::vector<float> values(num_values, -1.0f);
    EXPECT_TRUE(ShortlistOf(values, 5).empty());
    values[3] = 0.5f;
    values[20] = -nan;
    values[num_values - 1] = nan;
    EXPECT_EQ(ShortlistOf(values, 5), (std::vector<uint32_t>{3, 20, static_cast<uint32_t>(num_values - 1)}));
    const std::vector<uint32_t> two = ShortlistOf(values, 2);
    for (const uint32_t place : {20u, static_cast<uint32_t>(num_values - 1)}) {
      EXPECT_TRUE(std::ranges::binary_search(two, place)) << place;
    }
    values.assign(num_values, 0.0f);
    EXPECT_EQ(ShortlistOf(values, 2).size(), num_values) << "all are equal";
  }
}

INSTANTIATE_TEST_SUITE_P(AllTargets, ShortlistTest, testing::ValuesIn(IsaNames()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace qwen25
