// The tokenizer beside a model's weights.
#pragma once

#include <filesystem>

#include "base/status.h"
#include "text/tokenizer.h"

namespace qwen25 {

// The tokenizer of a GGUF file, or of what Tokenizer::Load takes: a folder, with the chat template in a file
// of its own, if there is one; or a tokenizer.json.
Result<Tokenizer> LoadTokenizer(const std::filesystem::path& path);

}  // namespace qwen25
