// Tokenizers between GGUF metadata (store) and Tokenizer (text), which do not know each other.
#pragma once

#include <string>

#include "model/config.h"
#include "store/gguf.h"
#include "text/tokenizer.h"

namespace qwen25 {

// Errors name `origin` and the key.
Result<Tokenizer> ReadGgufTokenizer(const GgufFiles& files, const std::string& origin);

// Adds the tokenizer's keys. The special tokens that it does not name are the configuration's.
Status SetGgufTokenizer(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& origin,
                        GgufMetadata& metadata);

}  // namespace qwen25
