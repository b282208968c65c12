// A model so small that a test can run thousands of steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "model/tiny_config_test_util.h"
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

// `count` tokens below `vocabulary`; the same for the same seed.
inline std::vector<int32_t> RandomTokens(size_t vocabulary, size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.Below(vocabulary));
  return tokens;
}

}  // namespace qwen25
