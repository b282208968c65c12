// Whether tokenizers and models belong together.
#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "model/config.h"
#include "text/tokenizer.h"

namespace qwen25 {

// The vocabulary must not have more entries than the model has rows of embeddings; fewer are normal. Added
// tokens beyond the rows (padding, markers of other tasks) are harmless until a text holds one.
Status CheckTokenizerFits(const Tokenizer& tokenizer, const ModelConfig& config, std::string_view origin);

// The first token that two tokenizers do not share. Embeddings may have more rows than tokens, in different
// numbers.
std::optional<int32_t> FirstDifferentToken(const Tokenizer& a, const Tokenizer& b);

}  // namespace qwen25
