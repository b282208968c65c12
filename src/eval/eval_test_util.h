// A tiny model and a tokenizer of single bytes, for scoring texts in tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/config.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace qwen25 {

// Every byte is a token; 256 ends a text.
inline Tokenizer ByteTokenizer(std::string end_of_text = "<|endoftext|>") {
  ByteLevelBpe parts;
  for (int byte = 0; byte < 256; ++byte) parts.tokens.emplace_back(1, static_cast<char>(byte));
  parts.special_tokens = {end_of_text};
  parts.eos_token = std::move(end_of_text);
  return Tokenizer::FromByteLevelBpe(std::move(parts)).value();
}

inline ModelConfig ByteModelConfig() {
  ModelConfig config;
  config.vocab_size = 257;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.max_position_embeddings = 256;
  config.initializer_range = 0.3;  // so that predictions differ
  return config;
}

inline Model ByteModel(uint64_t seed, const ModelConfig& config = ByteModelConfig()) {
  Model model(config);
  model.Initialize(seed);
  return model;
}

}  // namespace qwen25
