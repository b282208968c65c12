#include "base/all_finite.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>
#include <limits>
#include <vector>

namespace qwen25 {
namespace {

TEST(AllFiniteTest, FindsOneNumberAtAnyPlace) {
  EXPECT_TRUE(rc::check("as std::isfinite does", [] {
    std::vector<float> values(*rc::gen::inRange<size_t>(0, 40));
    for (float& value : values) {
      value =
          *rc::gen::element(0.0f, -0.0f, 1.5f, std::numeric_limits<float>::max(),
                            std::numeric_limits<float>::lowest(), std::numeric_limits<float>::denorm_min());
    }
    RC_ASSERT(AllFinite(values));
    if (values.empty()) return;
    values[*rc::gen::inRange<size_t>(0, values.size())] =
        *rc::gen::element(std::nanf(""), -std::nanf(""), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity());
    RC_ASSERT(!AllFinite(values));
  }));
}

}  // namespace
}  // namespace qwen25
