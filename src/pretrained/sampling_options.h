// Sampling options, set by a user or by the publisher of a model.
#pragma once

#include <cstdint>

#include "base/status.h"

namespace qwen25 {

// How a token is drawn. The steps are applied in the order of transformers and llama.cpp: repetition penalty,
// temperature, top_k, top_p, min_p.
struct SamplingOptions {
  float temperature = 0.7f;  // 0 to 100; 0: greedy; otherwise logits are divided by it
  uint32_t top_k = 20;       // keep the k most likely; 0 keeps all
  float top_p = 0.8f;  // above 0, up to 1: keep the fewest tokens whose probabilities reach p; 1 keeps all
  float min_p = 0.0f;  // 0 to 1: drop tokens less likely than min_p times the most likely one
  // Above 0, up to 100: divides positive and multiplies negative logits of earlier tokens; 1: off.
  float repetition_penalty = 1.0f;
  uint64_t seed = 0;

  // kInvalidArgument names the option, its value and the range.
  Status Validate() const;
};

}  // namespace qwen25
