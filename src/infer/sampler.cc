#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "kernels/elementwise.h"

namespace qwen25 {

Sampler::Sampler(const SamplingOptions& options, size_t vocabulary, size_t num_prompt_tokens)
    : options_(options),
      num_prompt_tokens_(num_prompt_tokens),
      rng_(options.seed),
      candidates_(vocabulary),
      maxima_((vocabulary + kMaximaRun - 1) / kMaximaRun),
      sorted_maxima_(maxima_.size()),
      penalized_(vocabulary, 0) {
  distribution_.reserve(vocabulary);
  QWEN25_CHECK(options.Validate().ok() && vocabulary > 0);
  for (const auto& [id, bias] : options.logit_bias) QWEN25_CHECK(static_cast<size_t>(id) < vocabulary);
}

void Sampler::Adjust(std::span<float> logits, std::span<const int32_t> history) {
  for (const auto& [id, bias] : options_.logit_bias) logits[static_cast<size_t>(id)] += bias;
  // A penalty for having occurred counts once, however often the token occurs.
  const auto adjust_once = [&](std::span<const int32_t> tokens, const auto& adjust) {
    for (int32_t id : tokens) {
      if (std::exchange(penalized_[static_cast<size_t>(id)], uint8_t{1}) == 0) {
        adjust(logits[static_cast<size_t>(id)]);
      }
    }
    for (int32_t id : tokens) penalized_[static_cast<size_t>(id)] = 0;
  };
  if (const float penalty = options_.repetition_penalty; penalty != 1.0f) {
    adjust_once(history, [&](float& logit) { logit = logit > 0 ? logit / penalty : logit * penalty; });
  }
  const auto drawn = history.subspan(std::min(num_prompt_tokens_, history.size()));
  if (options_.frequency_penalty != 0) {
    for (int32_t id : drawn) logits[static_cast<size_t>(id)] -= options_.frequency_penalty;
  }
  if (options_.presence_penalty != 0) {
    adjust_once(drawn, [&](float& logit) { logit -= options_.presence_penalty; });
  }
}

Sampler::Candidate Sampler::FromLogits(std::span<const float> logits, size_t id) {
  const float logit = std::isnan(logits[id]) ? -std::numeric_limits<float>::infinity() : logits[id];
  return {logit, static_cast<int32_t>(id)};
}

void Sampler::Load(std::span<const float> logits) {
  QWEN25_CHECK(logits.size() == candidates_.size());
  max_ = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    candidates_[i] = FromLogits(logits, i);
    max_ = std::max(max_, candidates_[i].logit);
  }
  num_sorted_ = 0;
}

void Sampler::LoadTop(std::span<const float> logits, size_t count) {
  QWEN25_CHECK(logits.size() == penalized_.size() && count > 0 && count <= logits.size());
  RunMaxima(logits.data(), logits.size(), maxima_.data());
  // No run whose greatest logit is below the count-th greatest of all runs has one of those looked for.
  float least = -std::numeric_limits<float>::infinity();
  if (count < maxima_.size()) {
    sorted_maxima_ = maxima_;
    const auto place = sorted_maxima_.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(sorted_maxima_.begin(), place, sorted_maxima_.end(), std::greater<>());
    least = *place;
  }
  size_t num_found = 0;
  for (size_t run = 0; run < maxima_.size(); ++run) {
    if (maxima_[run] < least) continue;
    const size_t end = std::min((run + 1) * kMaximaRun, logits.size());
    for (size_t i = run * kMaximaRun; i < end; ++i) {
      const Candidate candidate = FromLogits(logits, i);
      if (candidate.logit >= least) candidates_[num_found++] = candidate;
    }
  }
  const auto begin = candidates_.begin();
  std::partial_sort(begin, begin + static_cast<std::ptrdiff_t>(count),
                    begin + static_cast<std::ptrdiff_t>(num_found), Before);
  num_sorted_ = count;
  max_ = candidates_[0].logit;
}

void Sampler::Sort(size_t count) {
  if (count <= num_sorted_) return;
  const auto place = [&](size_t i) { return candidates_.begin() + static_cast<std::ptrdiff_t>(i); };
  const size_t first = num_sorted_;
  // Eight times as many as before: sorting everything in such steps costs little more than sorting it once.
  num_sorted_ = std::min(std::max(count, 8 * first), candidates_.size());
  if (first == 0) {
    std::partial_sort(place(0), place(num_sorted_), candidates_.end(), Before);
    return;
  }
  if (num_sorted_ < candidates_.size()) {
    std::nth_element(place(first), place(num_sorted_), candidates_.end(), Before);
  }
  std::sort(place(first), place(num_sorted_), Before);
}

double Sampler::Weight(const Candidate& candidate) const {
  if (candidate.logit == max_) return 1;  // also if both are infinite: their difference is NaN
  return std::exp((double{candidate.logit} - double{max_}) / options_.temperature);
}

double Sampler::SumOfWeights() const {
  double sum = 0;
  for (const Candidate& candidate : candidates_) sum += Weight(candidate);
  return sum;
}

bool Sampler::KeepsAll() const {
  return (options_.top_k == 0 || options_.top_k >= candidates_.size()) && options_.top_p == 1 &&
         options_.min_p == 0;
}

// Every step keeps the most likely tokens, so that only these need to be sorted.
void Sampler::KeepSome() {
  size_t count = candidates_.size();
  double total = 0;  // top_p is a share of it
  if (options_.top_k != 0 && options_.top_k < count) {
    count = options_.top_k;
    Sort(count);
    for (size_t i = 0; i < count; ++i) total += Weight(candidates_[i]);
  } else {
    if (options_.top_p < 1) total = SumOfWeights();
    Sort(std::min(kSorted, count));
  }
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    Sort(i + 1);
    const double weight = Weight(candidates_[i]);
    if (i > 0 && weight < options_.min_p) break;
    distribution_.push_back({candidates_[i].id, weight});
    sum += weight;
    if (options_.top_p < 1 && sum >= options_.top_p * total) break;
  }
}

void Sampler::KeepAll(std::span<const float> logits) {
  Sort(std::min(kSorted, candidates_.size()));
  for (size_t i = 0; i < num_sorted_; ++i) {
    distribution_.push_back({candidates_[i].id, Weight(candidates_[i])});
  }
  const Candidate last = candidates_[num_sorted_ - 1];
  for (size_t i = 0; i < logits.size() && distribution_.size() < logits.size(); ++i) {
    const Candidate candidate = FromLogits(logits, i);
    if (Before(last, candidate)) distribution_.push_back({candidate.id, Weight(candidate)});
  }
}

int32_t Sampler::Sample(std::span<float> logits, std::span<const int32_t> history) {
  if (options_.temperature == 0 || !KeepsAll()) return Draw(Distribution(logits, history));
  // Draws from the sorted distribution of all tokens without building it.
  Adjust(logits, history);
  Load(logits);
  const double total = SumOfWeights();
  Sort(std::min(kSorted, candidates_.size()));
  size_t drawn = 0;
  if (candidates_.size() > 1) {
    double rest = rng_.Uniform() * total;
    for (; drawn + 1 < candidates_.size(); ++drawn) {
      Sort(drawn + 1);
      rest -= Weight(candidates_[drawn]);
      if (rest < 0) break;
    }
    Sort(drawn + 1);
  }
  last_log_probability_ = std::log(Weight(candidates_[drawn]) / total);
  return candidates_[drawn].id;
}

std::span<const TokenProbability> Sampler::Distribution(std::span<float> logits,
                                                        std::span<const int32_t> history) {
  Adjust(logits, history);
  distribution_.clear();
  if (options_.temperature == 0) {
    distribution_.push_back({static_cast<int32_t>(ArgMax(logits.data(), logits.size())), 1});
    return distribution_;
  }
  if (options_.top_k != 0 && options_.top_k <= std::min(kSorted, logits.size())) {
    LoadTop(logits, options_.top_k);
  } else {
    Load(logits);
  }
  if (KeepsAll()) {
    KeepAll(logits);
  } else {
    KeepSome();
  }
  double total = 0;
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
