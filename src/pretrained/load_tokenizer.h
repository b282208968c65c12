// Loads the tokenizer beside a model's weights.
#pragma once

#include <filesystem>

#include "base/status.h"
#include "text/tokenizer.h"

namespace qwen25 {

// `name` is a GGUF file, the name of a model (ResolveModel), or what Tokenizer::Load takes: a folder, perhaps
// with the chat template in a file of its own, or a tokenizer.json. Errors name the file.
Result<Tokenizer> LoadTokenizer(const std::filesystem::path& name);

}  // namespace qwen25
