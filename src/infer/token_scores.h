// Log-probabilities of tokens, as APIs report them: of the model's own distribution, before any sampling
// step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace qwen25 {

struct TokenLogProbability {
  int32_t id = 0;
  float log_probability = 0;  // natural logarithm
  bool operator==(const TokenLogProbability&) const = default;
};

struct TokenScore {
  TokenLogProbability token;
  std::vector<TokenLogProbability>
      top;  // the most likely tokens, most likely first; of equal ones, the lower id
};

// The score of token `id` in a row of finite logits [vocabulary], with the `num_top` most likely tokens.
TokenScore ScoreToken(std::span<const float> logits, int32_t id, size_t num_top);

}  // namespace qwen25
