#include "infer/token_scores.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/elementwise.h"

namespace qwen25 {

TokenScore ScoreToken(std::span<const float> logits, int32_t id, size_t num_top) {
  const auto target = static_cast<size_t>(id);
  QWEN25_CHECK(id >= 0 && target < logits.size());
  // With a scale of 0 the row is only read.
  float* row = const_cast<float*>(logits.data());
  const double log_sum = CrossEntropyRow(row, logits.size(), id, 0) + double{logits[target]};
  const auto score = [&](size_t index) {
    return TokenLogProbability{static_cast<int32_t>(index),
                               static_cast<float>(double{logits[index]} - log_sum)};
  };
  TokenScore result = {.token = score(target)};
  num_top = std::min(num_top, logits.size());
  if (num_top == 0) return result;
  // The best so far, best first. Few logits get past the last of them.
  std::vector<size_t> best;
  best.reserve(num_top + 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (best.size() == num_top && !(logits[i] > logits[best.back()])) continue;
    const auto place = std::ranges::find_if(best, [&](size_t other) { return logits[i] > logits[other]; });
    best.insert(place, i);
    if (best.size() > num_top) best.pop_back();
  }
  for (const size_t index : best) result.top.push_back(score(index));
  return result;
}

}  // namespace qwen25
