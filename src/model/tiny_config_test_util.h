// Shapes of models for tests.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/config.h"

namespace qwen25 {

// Two layers and two heads of keys for four of queries: small enough for a test to run thousands of steps of.
inline ModelConfig TinyConfig(size_t vocab_size, uint32_t max_position_embeddings = 256,
                              uint32_t head_dim = 8) {
  ModelConfig config;
  config.vocab_size = static_cast<uint32_t>(vocab_size);
  config.hidden_size = 4 * head_dim;
  config.intermediate_size = 6 * head_dim;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = head_dim;
  config.max_position_embeddings = max_position_embeddings;
  return config;
}

// The same in its smallest form: an embedding of 40 rows of 16.
inline ModelConfig TinyConfig() {
  return TinyConfig(40, /*max_position_embeddings=*/64, /*head_dim=*/4);
}

}  // namespace qwen25
