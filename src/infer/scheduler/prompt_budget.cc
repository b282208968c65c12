#include "infer/scheduler/prompt_budget.h"

#include <algorithm>
#include <numeric>

namespace qwen25 {
namespace {

// The share of a new measurement in a mean.
constexpr double kNew = 0.25;
// Tokens of the first prompt, whose speed is not known.
constexpr size_t kFirst = 64;

void Learn(double& mean, double value) {
  mean = mean == 0 ? value : (1 - kNew) * mean + kNew * value;
}

}  // namespace

size_t PromptBudget::NumTokens() const {
  if (seconds_per_token_ == 0) return kFirst;
  const double seconds = std::max(step_seconds_ - decode_seconds_, decode_seconds_);
  return static_cast<size_t>(
      std::clamp(seconds / seconds_per_token_, static_cast<double>(kLeast), static_cast<double>(kMost)));
}

void PromptBudget::Observe(size_t num_decoded, size_t num_prompt, double seconds) {
  if (num_prompt == 0) return Learn(decode_seconds_, seconds);
  const double of_prompts = seconds - (num_decoded == 0 ? 0 : decode_seconds_);
  // The time of a few tokens is mostly that of reading the weights.
  if (num_prompt < kLeast) return;
  Learn(seconds_per_token_, std::max(of_prompts, seconds / 8) / static_cast<double>(num_prompt));
}

std::vector<size_t> DivideBudget(std::span<const size_t> left, size_t budget) {
  std::vector<size_t> shares(left.size(), 0);
  if (left.empty()) return shares;
  const auto give = [&](size_t prompt, size_t most) {
    const size_t count = std::min({left[prompt] - shares[prompt], most, budget});
    shares[prompt] += count;
    budget -= count;
  };
  give(0, budget / 4);
  std::vector<size_t> order(left.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t prompt) { return left[prompt] - shares[prompt]; });
  for (const size_t prompt : order) give(prompt, budget);
  return shares;
}

}  // namespace qwen25
