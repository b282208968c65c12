#include "infer/token_scores.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>

namespace qwen25 {
namespace {

TEST(TokenScoresTest, AreTheLogarithmsOfTheSoftmax) {
  EXPECT_TRUE(rc::check("of any logits", [] {
    const auto raw = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(-40, 40)));
    std::vector<float> logits;
    for (const int value : raw) logits.push_back(static_cast<float>(value) / 4);
    const auto id = *rc::gen::inRange<int32_t>(0, static_cast<int32_t>(logits.size()));
    const auto num_top = *rc::gen::inRange<size_t>(0, 25);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(double{logit});
    const auto expected = [&](int32_t token) {
      return double{logits[static_cast<size_t>(token)]} - std::log(sum);
    };
    const TokenScore score = ScoreToken(logits, id, num_top);
    RC_ASSERT(score.token.id == id);
    RC_ASSERT(std::abs(score.token.log_probability - expected(id)) < 1e-4);
    RC_ASSERT(score.top.size() == std::min(num_top, logits.size()));
    std::vector<int32_t> order(logits.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    for (size_t i = 0; i < score.top.size(); ++i) {
      RC_ASSERT(score.top[i].id == order[i]);
      RC_ASSERT(std::abs(score.top[i].log_probability - expected(order[i])) < 1e-4);
      // Clients compare the two for equality.
      if (order[i] == id) RC_ASSERT(score.top[i].log_probability == score.token.log_probability);
    }
  }));
}

}  // namespace
}  // namespace qwen25
