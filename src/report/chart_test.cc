#include "report/chart.h"

#include <rapidcheck.h>

#include <cmath>
#include <vector>

#include "base/test_util.h"

namespace qwen25 {
namespace {

TEST(ChartTest, TicksAreRoundAndInside) {
  EXPECT_EQ(NiceTicks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_TRUE(NiceTicks(1, 1, 5).empty());
  EXPECT_TRUE(rc::check("between 2 and 2 * count + 1 ticks, inside the range, equally spaced", [] {
    const double low = *rc::gen::inRange(-100000, 100000) * std::pow(10.0, *rc::gen::inRange(-8, 8));
    const double width = *rc::gen::inRange(1, 100000) * std::pow(10.0, *rc::gen::inRange(-6, 8));
    RC_PRE(width > std::abs(low) * 1e-6);
    const double high = low + width;
    const std::vector<double> ticks = NiceTicks(low, high, 6);
    RC_ASSERT(ticks.size() >= 3u && ticks.size() <= 11u);
    const double slack = 1e-6 * width;
    RC_ASSERT(ticks.front() >= low - slack && ticks.back() <= high + slack);
    for (size_t i = 2; i < ticks.size(); ++i) {
      RC_ASSERT(std::abs((ticks[i] - ticks[i - 1]) - (ticks[1] - ticks[0])) <= slack);
    }
  }));
}

TEST(ChartTest, Numbers) {
  EXPECT_EQ(FormatTick(0), "0");
  EXPECT_EQ(FormatTick(250), "250");
  EXPECT_EQ(FormatTick(1500), "1.5k");
  EXPECT_EQ(FormatTick(12e6), "12M");
  EXPECT_EQ(FormatTick(-2e9), "-2B");
  EXPECT_EQ(FormatTick(0.0003), "0.0003");
  EXPECT_EQ(FormatTick(2e-5), "2e-05");
}

TEST(ChartTest, ThinningAndSmoothingKeepTheMean) {
  std::vector<ChartPoint> points;
  for (int i = 0; i < 1000; ++i) points.push_back({double(i), i % 2 ? 3.0 : 1.0});
  EXPECT_EQ(Thin(points, 2000).size(), 1000u);
  const std::vector<ChartPoint> thin = Thin(points, 10);
  ASSERT_EQ(thin.size(), 10u);
  for (const ChartPoint& point : thin) EXPECT_DOUBLE_EQ(point.y, 2.0);
  EXPECT_DOUBLE_EQ(thin[0].x, 49.5);
  const std::vector<ChartPoint> smooth = Smooth(points, 50);
  ASSERT_EQ(smooth.size(), 1000u);
  EXPECT_DOUBLE_EQ(smooth[0].y, 1.0);  // nothing on its left, so itself
  EXPECT_NEAR(smooth[500].y, 2.0, 0.02);
  EXPECT_DOUBLE_EQ(smooth.back().y, 3.0);
}

}  // namespace
}  // namespace qwen25
