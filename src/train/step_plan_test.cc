#include "train/step_plan.h"

#include <gtest/gtest.h>

namespace qwen25 {
namespace {

TEST(StepPlanTest, StepsAndTokensAreExact) {
  StepPlan steps(7, 0, 0, 100);
  EXPECT_EQ(steps.total_steps(), 7u);
  StepPlan tokens(0, 701, 0, 100);
  EXPECT_EQ(tokens.total_steps(), 8u);  // rounded up to whole steps
  for (uint64_t step = 1; step < 7; ++step) {
    steps.Observe(step, 100.0 * double(step));  // time does not matter
    EXPECT_FALSE(steps.Done(step, 1e9));
  }
  EXPECT_TRUE(steps.Done(7, 0));
  steps.Restore(3, 99, 5);
  EXPECT_EQ(steps.total_steps(), 7u);
}

// Runs until done; step i takes seconds_of(i). Returns the seconds spent.
template <typename SecondsOf>
double Simulate(StepPlan& plan, SecondsOf seconds_of) {
  double seconds = 0;
  for (uint64_t step = 0; !plan.Done(step, seconds);) {
    seconds += seconds_of(step);
    plan.Observe(++step, seconds);
  }
  return seconds;
}

TEST(StepPlanTest, ABudgetOfMinutesIsKept) {
  StepPlan plan(0, 0, 2, 100);
  EXPECT_EQ(plan.total_steps(), 0u);
  // The first step is slow: it must not count.
  const double seconds = Simulate(plan, [](uint64_t step) { return step == 0 ? 5.0 : 0.5; });
  EXPECT_NEAR(seconds, 120, 1);
  EXPECT_EQ(plan.total_steps(), 1 + 230u);
}

TEST(StepPlanTest, APlanFollowsAChangeOfSpeed) {
  StepPlan plan(0, 0, 2, 100);
  const double seconds = Simulate(plan, [](uint64_t step) { return step < 50 ? 0.5 : 1.0; });
  EXPECT_NEAR(seconds, 120, 4);
  // It ends by its own plan and not by the clock, so the schedule reached its end.
  EXPECT_NEAR(double(plan.total_steps()), 50 + 95, 4);
}

TEST(StepPlanTest, AResumedPlanStaysUntilTheNextRevision) {
  StepPlan plan(0, 0, 1, 100);
  for (uint64_t step = 1; step <= 10; ++step) plan.Observe(step, 0.1 * double(step));
  const uint64_t total = plan.total_steps(), revision = plan.revision();
  ASSERT_GT(total, 0u);
  StepPlan resumed(0, 0, 1, 100);
  resumed.Restore(10, total, revision);
  resumed.Observe(11, 1.3);  // slower, yet inside the first sixteenth of the minute
  resumed.Observe(12, 1.6);
  EXPECT_EQ(resumed.total_steps(), total);
  resumed.Observe(13, 4.0);
  EXPECT_NE(resumed.total_steps(), total);
}

}  // namespace
}  // namespace qwen25
