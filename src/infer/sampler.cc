#include "infer/sampler.h"

#include <algorithm>
#include <cmath>

namespace qwen25 {

Sampler::Sampler(const SamplingOptions& options, size_t vocabulary)
    : options_(options), rng_(options.seed), candidates_(vocabulary), penalized_(vocabulary, 0) {
  distribution_.reserve(vocabulary);
  QWEN25_CHECK(options.Validate().ok() && vocabulary > 0);
}

void Sampler::Penalize(std::span<float> logits, std::span<const int32_t> history) {
  const float penalty = options_.repetition_penalty;
  if (penalty == 1.0f) return;
  for (int32_t id : history) {
    if (penalized_[static_cast<size_t>(id)]) continue;  // once, however often the token stands there
    penalized_[static_cast<size_t>(id)] = 1;
    float& logit = logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
  for (int32_t id : history) penalized_[static_cast<size_t>(id)] = 0;
}

int32_t Sampler::Sample(std::span<float> logits, std::span<const int32_t> history) {
  return Draw(Distribution(logits, history));
}

std::span<const TokenProbability> Sampler::Distribution(std::span<float> logits,
                                                        std::span<const int32_t> history) {
  QWEN25_CHECK(logits.size() == candidates_.size());
  Penalize(logits, history);
  distribution_.clear();
  if (options_.temperature == 0) {
    const auto best = std::max_element(logits.begin(), logits.end());
    distribution_.push_back({static_cast<int32_t>(best - logits.begin()), 1});
    return distribution_;
  }
  for (size_t i = 0; i < logits.size(); ++i) candidates_[i] = {logits[i], static_cast<int32_t>(i)};
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  // top_p and min_p need the tokens in order only as far as they reach, but without top_k that may be all of
  // them.
  size_t count = candidates_.size();
  if (options_.top_k != 0 && options_.top_k < count) count = options_.top_k;
  const auto begin = candidates_.begin(), end = begin + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(begin, end, candidates_.end(), before);

  // Relative to the most likely one at first.
  const double max = begin->logit;
  double total = 0;
  for (auto candidate = begin; candidate != end; ++candidate) {
    distribution_.push_back({candidate->id, std::exp((candidate->logit - max) / options_.temperature)});
    total += distribution_.back().probability;
  }
  if (options_.top_p < 1) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) {
      sum += distribution_[i].probability;
      if (sum >= options_.top_p * total) count = i + 1;
    }
  }
  while (count > 1 && distribution_[count - 1].probability < options_.min_p) --count;
  distribution_.resize(count);
  total = 0;
  for (const TokenProbability& token : distribution_) total += token.probability;
  for (TokenProbability& token : distribution_) token.probability /= total;
  return distribution_;
}

int32_t Sampler::Draw(std::span<const TokenProbability> distribution) {
  double total = 0;
  for (const TokenProbability& token : distribution) total += token.probability;
  size_t drawn = 0;
  if (distribution.size() > 1) {
    double rest = rng_.Uniform() * total;
    for (; drawn + 1 < distribution.size(); ++drawn) {
      rest -= distribution[drawn].probability;
      if (rest < 0) break;
    }
  }
  last_log_probability_ = std::log(distribution[drawn].probability / total);
  return distribution[drawn].id;
}

}  // namespace qwen25
