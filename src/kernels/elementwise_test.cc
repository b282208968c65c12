// The greatest number is found, on every instruction set. The row kernels are tested with their ops.
#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "base/rng.h"
#include "kernels/isa_test_util.h"

namespace qwen25 {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ElementwiseTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ASSERT_TRUE(ForceIsa(GetParam()).ok()); }
  void TearDown() override { ASSERT_TRUE(ForceIsa(IsaNames().front()).ok()); }
};

size_t Place(const std::vector<float>& x) {
  return ArgMax(x.data(), x.size());
}

TEST_P(ElementwiseTest, RunsHaveTheirMaxima) {
  Rng rng(5);
  for (const size_t count : {1, 15, 63, 64, 65, 128, 200, 1000}) {
    std::vector<float> x(count), expected((count + kMaximaRun - 1) / kMaximaRun, -kInfinity);
    for (size_t i = 0; i < count; ++i) {
      x[i] = rng.Below(3) == 0 ? kNan : static_cast<float>(rng.Normal());
      if (x[i] > expected[i / kMaximaRun]) expected[i / kMaximaRun] = x[i];
    }
    std::vector<float> maxima(expected.size());
    RunMaxima(x.data(), count, maxima.data());
    EXPECT_EQ(maxima, expected) << count;
  }
}

TEST_P(ElementwiseTest, TheGreatestIsFoundAtEveryPlace) {
  Rng rng(3);
  for (const size_t count : {1, 2, 15, 16, 17, 40, 151}) {
    for (size_t place = 0; place < count; ++place) {
      std::vector<float> x(count);
      for (float& value : x) value = static_cast<float>(rng.Uniform()) - 5;
      x[place] = -3;
      EXPECT_EQ(Place(x), place) << "of " << count;
      for (size_t later = place; later < count; later += 7) x[later] = -3;
      EXPECT_EQ(Place(x), place) << "of " << count << ", with equal ones after it";
    }
  }
}

TEST_P(ElementwiseTest, WhatIsNotANumberIsNotTheGreatest) {
  for (const size_t count : {1, 5, 16, 33, 50}) {
    std::vector<float> x(count, kNan);
    EXPECT_EQ(Place(x), 0u);
    x.back() = -kInfinity;
    EXPECT_EQ(Place(x), count - 1);
    x.front() = -1e30f;
    EXPECT_EQ(Place(x), 0u);
    x.back() = kInfinity;
    EXPECT_EQ(Place(x), count - 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, ElementwiseTest, testing::ValuesIn(IsaNames()),
                         [](const testing::TestParamInfo<std::string>& info) { return info.param; });

}  // namespace
}  // namespace qwen25
