// A model small enough for a test to run thousands of steps of.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/config.h"

namespace qwen25 {

inline ModelConfig TinyConfig(size_t vocabulary) {
  ModelConfig config;
  config.vocab_size = static_cast<uint32_t>(vocabulary);
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.max_position_embeddings = 256;
  return config;
}

}  // namespace qwen25
