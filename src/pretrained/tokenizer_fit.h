// Checks that tokenizers and models belong together.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "base/status.h"
#include "model/config.h"
#include "text/tokenizer.h"

namespace qwen25 {

// kInvalidArgument if the vocabulary has more entries than the model has embedding rows; fewer are normal.
// Added tokens beyond the rows (padding, markers of other tasks) do not count: they are harmless unless a
// text contains one.
Status CheckTokenizerFits(const Tokenizer& tokenizer, const ModelConfig& config, std::string_view origin);

// kInvalidArgument, naming the token, if `tokens`, which `tokenizer` made of a text, hold one beyond the
// model's embedding rows.
Status CheckTokensFit(std::span<const int32_t> tokens, const Tokenizer& tokenizer, const ModelConfig& config);

// The first id whose token differs between two tokenizers; none if there is no such id. Compares bytes and
// whether a token is special. Embedding rows do not matter: models pad them differently.
std::optional<int32_t> FirstDifferentToken(const Tokenizer& a, const Tokenizer& b);

}  // namespace qwen25
