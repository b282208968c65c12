// The tokenizer beside a model's weights.
#pragma once

#include <filesystem>

#include "base/status.h"
#include "text/tokenizer.h"

namespace qwen25 {

// The tokenizer of a GGUF file, or of what Tokenizer::Load takes.
Result<Tokenizer> LoadTokenizer(const std::filesystem::path& path);

// A folder's tokenizer, with the chat template that stands in a file of its own.
Result<Tokenizer> LoadFolderTokenizer(const std::filesystem::path& folder);

}  // namespace qwen25
