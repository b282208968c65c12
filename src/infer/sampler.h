// From logits to a token.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/status.h"

namespace qwen25 {

// How a token is drawn. Steps apply in this order, as transformers and llama.cpp apply them: repetition
// penalty, temperature, top_k, top_p, min_p.
struct SamplingOptions {
  float temperature = 0.7f;  // 0: always the most likely token; otherwise logits are divided by it
  uint32_t top_k = 20;       // keep the k most likely; 0 keeps all
  float top_p = 0.8f;        // keep the fewest tokens whose probabilities reach p; 1 keeps all
  float min_p = 0.0f;        // drop tokens less likely than min_p times the most likely one; 0 drops none
  float repetition_penalty =
      1.0f;  // divides positive and multiplies negative logits of tokens already there; 1 is off
  uint64_t seed = 0;

  Status Validate() const;
};

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
