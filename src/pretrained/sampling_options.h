// Sampling options, set by a user or by the publisher of a model.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// How a token is drawn. The steps are applied in the order of transformers and llama.cpp: logit bias,
// repetition penalty, frequency and presence penalties, temperature, top_k, top_p, min_p.
struct SamplingOptions {
  float temperature = 0.7f;  // 0 to 100; 0: greedy; otherwise logits are divided by it
  uint32_t top_k = 20;       // keep the k most likely; 0 keeps all
  float top_p = 0.8f;  // above 0, up to 1: keep the fewest tokens whose probabilities reach p; 1 keeps all
  float min_p = 0.0f;  // 0 to 1: drop tokens less likely than min_p times the most likely one
  // Above 0, up to 100: divides positive and multiplies negative logits of earlier tokens; 1: off.
  float repetition_penalty = 1.0f;
  // -2 to 2, as in the OpenAI API: taken from the logit of a token for each time that it was drawn, and once
  // if it was drawn at all. Tokens of the prompt do not count.
  float frequency_penalty = 0.0f, presence_penalty = 0.0f;
  // Added to the logits of these tokens; finite, -1000 to 1000. Each id once, and within the vocabulary.
  std::vector<std::pair<int32_t, float>> logit_bias = {};
  uint64_t seed = 0;

  // kInvalidArgument names the option, its value and the range.
  Status Validate() const;
};

}  // namespace qwen25
