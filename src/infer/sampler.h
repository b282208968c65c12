// Draws tokens from logits.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "pretrained/sampling_options.h"

namespace qwen25 {

struct TokenProbability {
  int32_t id;
  double probability;
};

// Draws tokens. The same seed, options and logits give the same tokens. Of equal logits the lower id ranks
// first; NaN ranks as minus infinity. Only the tokens that the steps and the draw reach are sorted. Allocates
// only when constructed.
class Sampler {
 public:
  // Tokens that are sorted at once, at least.
  static constexpr size_t kSorted = 256;

  // `num_prompt_tokens`: tokens at the beginning of each history that frequency and presence penalties do not
  // count. `options` must be valid, and its logit_bias within the vocabulary.
  Sampler(const SamplingOptions& options, size_t vocabulary, size_t num_prompt_tokens = 0);

  // Draws a token. Overwrites `logits` [vocabulary]. Penalties count `history`.
  int32_t Sample(std::span<float> logits, std::span<const int32_t> history);

  // The distribution that Sample draws from: the tokens left after all steps, most likely first; a single
  // token when greedy. If the steps keep every token, those after the first kSorted are in the order of ids.
  // Valid until the next call. Overwrites `logits`.
  std::span<const TokenProbability> Distribution(std::span<float> logits, std::span<const int32_t> history);
  // Draws a token of `distribution`, which must not be empty; its probabilities need not add up to 1.
  int32_t Draw(std::span<const TokenProbability> distribution);
  // The next number of the same random stream, in [0, 1).
  double Uniform() { return rng_.Uniform(); }

  // The natural logarithm of the drawn token's probability after all steps; 0 when greedy.
  double last_log_probability() const { return last_log_probability_; }

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };

  static bool Before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  }
  // Logit bias and penalties.
  void Adjust(std::span<float> logits, std::span<const int32_t> history);
  static Candidate FromLogits(std::span<const float> logits, size_t id);
  // Fills candidates_ with all logits, in the order of ids.
  void Load(std::span<const float> logits);
  // The same for the `count` most likely ones alone, sorted; `count` is at least 1 and at most kSorted.
  void LoadTop(std::span<const float> logits, size_t count);
  // Moves at least the `count` most likely candidates to the front, sorted.
  void Sort(size_t count);
  // A candidate's probability relative to the most likely one.
  double Weight(const Candidate& candidate) const;
  // Must be called before Sort, whose order would change the rounding.
  double SumOfWeights() const;
  bool KeepsAll() const;
  void KeepSome();
  void KeepAll(std::span<const float> logits);

  SamplingOptions options_;
  const size_t num_prompt_tokens_;
  Rng rng_;
  std::vector<Candidate> candidates_;          // [vocabulary]
  std::vector<float> maxima_, sorted_maxima_;  // of runs of logits
  size_t num_sorted_ = 0;                      // candidates
  float max_ = 0;                              // greatest logit
  std::vector<TokenProbability> distribution_;
  std::vector<uint8_t> penalized_;  // [vocabulary]
  double last_log_probability_ = 0;
};

}  // namespace qwen25
