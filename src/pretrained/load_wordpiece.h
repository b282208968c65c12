// Loads the WordPiece tokenizer beside an encoder's weights.
#pragma once

#include <filesystem>

#include "base/status.h"
#include "text/wordpiece.h"

namespace qwen25 {

// `path` is a GGUF file (tokenizer.ggml.model "bert"), otherwise a Hugging Face folder
// (WordPieceTokenizer::Load). Texts are put in lower case if the files say so or `lowercase` does. Errors
// name the file.
Result<WordPieceTokenizer> LoadWordPiece(const std::filesystem::path& path, bool lowercase = false);

}  // namespace qwen25
