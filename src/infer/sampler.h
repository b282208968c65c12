// From logits to a token.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "pretrained/sampling_options.h"

namespace qwen25 {

// A token and its chance.
struct TokenProbability {
  int32_t id;
  double probability;
};

// Draws tokens. The same seed, options and logits give the same tokens. Equal logits rank by lower id, and
// NaN ranks as minus infinity does. Only as many tokens are sorted as the steps and the draw reach. Allocates
// only when constructed.
class Sampler {
 public:
  static constexpr size_t kSorted = 256;

  Sampler(const SamplingOptions& options, size_t vocabulary);

  // `logits` [vocabulary] are overwritten; `history` are the tokens that the repetition penalty counts.
  int32_t Sample(std::span<float> logits, std::span<const int32_t> history);

  // The distribution that Sample draws from: the tokens that are left after all steps, most likely first; one
  // token when greedy. If the steps keep every token, those after the first kSorted come by id instead. Valid
  // until the next call.
  std::span<const TokenProbability> Distribution(std::span<float> logits, std::span<const int32_t> history);
  // One token of `distribution`, whose probabilities need not add up to 1.
  int32_t Draw(std::span<const TokenProbability> distribution);
  // A number of the same random stream, in [0, 1).
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
  void Penalize(std::span<float> logits, std::span<const int32_t> history);
  static Candidate FromLogits(std::span<const float> logits, size_t id);
  // Takes over all logits, by id.
  void Load(std::span<const float> logits);
  // Sorts at least the `count` most likely candidates to the front.
  void Sort(size_t count);
  // A candidate's chance, in that of the most likely one; and the sum of all, while they are as loaded.
  double Weight(const Candidate& candidate) const;
  double SumOfWeights() const;
  bool KeepsAll() const;
  void KeepSome();
  void KeepAll(std::span<const float> logits);

  SamplingOptions options_;
  Rng rng_;
  std::vector<Candidate> candidates_;  // [vocabulary]
  size_t num_sorted_ = 0;              // of these
  float max_ = 0;                      // logit
  std::vector<TokenProbability> distribution_;
  std::vector<uint8_t> penalized_;  // [vocabulary]
  double last_log_probability_ = 0;
};

}  // namespace qwen25
