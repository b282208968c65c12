// A model so small that a test can run thousands of steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "model/config.h"
#include "text/tokenizer.h"

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

// A token for every byte, and an end of text.
inline Tokenizer ByteTokenizer() {
  ByteLevelBpe parts;
  for (int byte = 0; byte < 256; ++byte) parts.tokens.emplace_back(1, static_cast<char>(byte));
  parts.special_tokens = {"<|endoftext|>"};
  parts.eos_token = "<|endoftext|>";
  return *Tokenizer::FromByteLevelBpe(parts);
}

// `count` tokens below `vocabulary`; the same for the same seed.
inline std::vector<int32_t> RandomTokens(size_t vocabulary, size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.Below(vocabulary));
  return tokens;
}

}  // namespace qwen25
