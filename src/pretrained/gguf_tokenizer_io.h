// Converts between GGUF metadata (store) and Tokenizer (text), which do not depend on each other.
#pragma once

#include <string>

#include "model/config.h"
#include "store/gguf.h"
#include "text/tokenizer.h"

namespace qwen25 {

// Errors name `origin` and the key; kNotFound if there is no tokenizer.
Result<Tokenizer> ReadGgufTokenizer(const GgufFiles& files, const std::string& origin);

// Adds the tokenizer's keys to `metadata`. Begin and end tokens that it does not name come from `config`.
Status SetGgufTokenizer(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& origin,
                        GgufMetadata& metadata);

}  // namespace qwen25
