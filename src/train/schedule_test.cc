#include "train/schedule.h"

#include <rapidcheck.h>

#include <limits>

#include "base/test_util.h"

namespace qwen25 {
namespace {

TEST(ScheduleTest, CosineByHand) {
  const ScheduleOptions options = {.kind = ScheduleKind::kCosine, .warmup_steps = 4, .min_ratio = 0.1};
  EXPECT_DOUBLE_EQ(ScheduleFactor(options, 0, 24), 0.25);
  EXPECT_DOUBLE_EQ(ScheduleFactor(options, 3, 24), 1.0);
  EXPECT_DOUBLE_EQ(ScheduleFactor(options, 4, 24), 1.0);
  EXPECT_NEAR(ScheduleFactor(options, 14, 24), 0.55, 1e-12);  // half-way
  EXPECT_NEAR(ScheduleFactor(options, 24, 24), 0.1, 1e-12);
  EXPECT_NEAR(ScheduleFactor(options, 1000, 24), 0.1, 1e-12);
}

TEST(ScheduleTest, WsdByHand) {
  const ScheduleOptions options = {
      .kind = ScheduleKind::kWsd, .warmup_steps = 10, .min_ratio = 0.2, .decay_fraction = 0.25};
  EXPECT_DOUBLE_EQ(ScheduleFactor(options, 10, 100), 1.0);
  EXPECT_DOUBLE_EQ(ScheduleFactor(options, 75, 100), 1.0);
  EXPECT_NEAR(ScheduleFactor(options, 80, 100), 0.84, 1e-12);
  EXPECT_NEAR(ScheduleFactor(options, 100, 100), 0.2, 1e-12);
  EXPECT_NEAR(ScheduleFactor(options, 500, 100), 0.2, 1e-12);
}

TEST(ScheduleTest, ConstantIgnoresTheEnd) {
  const ScheduleOptions options = {.kind = ScheduleKind::kConstant, .warmup_steps = 2};
  EXPECT_DOUBLE_EQ(ScheduleFactor(options, 0, 5), 0.5);
  EXPECT_DOUBLE_EQ(ScheduleFactor(options, 1, 5), 1.0);
  EXPECT_DOUBLE_EQ(ScheduleFactor(options, 50, 5), 1.0);
}

TEST(ScheduleTest, FactorsStayInRangeAndOnlyFallAfterWarmUp) {
  EXPECT_TRUE(rc::check("0 < factor <= 1, rising in the warm-up and never rising after it", [] {
    ScheduleOptions options;
    options.kind = *rc::gen::element(ScheduleKind::kConstant, ScheduleKind::kCosine, ScheduleKind::kWsd);
    options.warmup_steps = *rc::gen::inRange<uint64_t>(0, 50);
    options.min_ratio = *rc::gen::inRange(1, 101) / 100.0;
    options.decay_fraction = *rc::gen::inRange(0, 101) / 100.0;
    const auto total = *rc::gen::inRange<uint64_t>(0, 120);  // also shorter than the warm-up
    RC_ASSERT(options.Validate().ok());
    double last = 0;
    for (uint64_t step = 0; step < 150; ++step) {
      const double factor = ScheduleFactor(options, step, total);
      RC_ASSERT(factor > 0 && factor <= 1);
      if (step < options.warmup_steps) {
        RC_ASSERT(factor > last);
      } else if (step > options.warmup_steps) {
        RC_ASSERT(factor <= last);
      }
      last = factor;
    }
  }));
}

TEST(ScheduleTest, BadOptionsAreNamed) {
  EXPECT_ERROR_CONTAINS(ScheduleOptions{.min_ratio = -0.1}.Validate(), "min_ratio is -0.1");
  EXPECT_ERROR_CONTAINS(ScheduleOptions{.min_ratio = std::numeric_limits<double>::quiet_NaN()}.Validate(),
                        "min_ratio is");
  EXPECT_ERROR_CONTAINS(ScheduleOptions{.decay_fraction = 2}.Validate(), "decay_fraction is 2");
  EXPECT_ERROR_CONTAINS(ParseScheduleKind("linear"), "expected \"constant\", \"cosine\" or \"wsd\"");
  for (const auto kind : {ScheduleKind::kConstant, ScheduleKind::kCosine, ScheduleKind::kWsd}) {
    EXPECT_EQ(*ParseScheduleKind(ScheduleKindName(kind)), kind);
  }
}

}  // namespace
}  // namespace qwen25
