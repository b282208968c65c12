// Prompts of models that fill in what is missing within a text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace qwen25 {

// <|fim_prefix|>PREFIX<|fim_suffix|>SUFFIX<|fim_middle|>, as Qwen2.5-Coder was trained, or the tokens of the
// same meaning of CodeLlama's and StarCoder's relatives. The texts hold no token but those of their letters.
// kUnsupported if the vocabulary has no such tokens.
Result<std::vector<int32_t>> InfillPrompt(const Tokenizer& tokenizer, std::string_view prefix,
                                          std::string_view suffix);

}  // namespace qwen25
