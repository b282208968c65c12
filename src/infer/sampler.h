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

// Draws tokens. The same seed, options and logits give the same tokens. Equal logits rank by lower id.
// Allocates only when constructed.
class Sampler {
 public:
  Sampler(const SamplingOptions& options, size_t vocabulary);

  // `logits` [vocabulary] are overwritten; `history` are the tokens that the repetition penalty counts.
  int32_t Sample(std::span<float> logits, std::span<const int32_t> history);

  // The distribution that Sample draws from: the tokens that are left after all steps, most likely first; one
  // token when greedy. Valid until the next call.
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

  void Penalize(std::span<float> logits, std::span<const int32_t> history);

  SamplingOptions options_;
  Rng rng_;
  std::vector<Candidate> candidates_;
  std::vector<TokenProbability> distribution_;
  std::vector<uint8_t> penalized_;  // [vocabulary]
  double last_log_probability_ = 0;
};

}  // namespace qwen25
