// How tokens are drawn, as a user or a publisher wants it.
#pragma once

#include <cstdint>

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

}  // namespace qwen25
