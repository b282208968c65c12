#include "infer/scheduler/prompt_budget.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <numeric>

namespace qwen25 {
namespace {

TEST(PromptBudgetTest, FillsTheTimeThatAStepMayTake) {
  PromptBudget budget(0.1);
  for (int i = 0; i < 50; ++i) budget.Observe(16, 0, 0.02);
  for (int i = 0; i < 50; ++i) {
    const size_t count = budget.NumTokens();
    budget.Observe(16, count, 0.02 + 0.0005 * static_cast<double>(count));
  }
  EXPECT_NEAR(static_cast<double>(budget.NumTokens()), 160, 2);
}

TEST(PromptBudgetTest, AdaptsToSlowerTokens) {
  PromptBudget budget(0.1);
  for (int i = 0; i < 50; ++i) budget.Observe(0, 100, 0.01);
  EXPECT_EQ(budget.NumTokens(), PromptBudget::kMost);
  for (int i = 0; i < 50; ++i) budget.Observe(0, 100, 1);
  EXPECT_EQ(budget.NumTokens(), PromptBudget::kLeast);
}

TEST(PromptBudgetTest, ASlowModelReadsWithDoubleTheTimeOfAStep) {
  PromptBudget budget(0.1);
  for (int i = 0; i < 50; ++i) budget.Observe(1, 0, 0.5);
  for (int i = 0; i < 50; ++i) budget.Observe(1, 64, 0.5 + 64 * 0.01);
  EXPECT_NEAR(static_cast<double>(budget.NumTokens()), 50, 2);
}

TEST(DivideBudgetTest, TheFirstAdvancesAndTheShortestEnds) {
  EXPECT_EQ(DivideBudget(std::vector<size_t>{1000, 30, 500, 40}, 128), (std::vector<size_t>{32, 30, 26, 40}));
  EXPECT_EQ(DivideBudget(std::vector<size_t>{1000}, 128), (std::vector<size_t>{128}));
  EXPECT_EQ(DivideBudget(std::vector<size_t>{1, 2}, 128), (std::vector<size_t>{1, 2}));
  EXPECT_TRUE(DivideBudget({}, 128).empty());
}

TEST(DivideBudgetTest, NothingIsLost) {
  EXPECT_TRUE(rc::check("shares add up, and fit", [] {
    const auto left =
        *rc::gen::nonEmpty(rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(1, 1000)));
    const auto budget = *rc::gen::inRange<size_t>(1, 600);
    const std::vector<size_t> shares = DivideBudget(left, budget);
    RC_ASSERT(shares.size() == left.size());
    for (size_t i = 0; i < left.size(); ++i) RC_ASSERT(shares[i] <= left[i]);
    const size_t total = std::accumulate(left.begin(), left.end(), size_t{0});
    RC_ASSERT(std::accumulate(shares.begin(), shares.end(), size_t{0}) == std::min(total, budget));
    RC_ASSERT(budget < 4 || shares[0] >= std::min(left[0], budget / 4));
  }));
}

}  // namespace
}  // namespace qwen25
