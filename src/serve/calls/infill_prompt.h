// Prompts of models that fill in what is missing within a text.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/scheduler/stream_request.h"
#include "serve/api/infill_request.h"
#include "text/tokenizer.h"

namespace qwen25 {

// <|fim_prefix|>PREFIX<|fim_suffix|>SUFFIX<|fim_middle|>, as Qwen2.5-Coder was trained, or the tokens of the
// same meaning of CodeLlama's and StarCoder's relatives. The texts hold no token but those of their letters.
// With a context it stands behind the other files of a project, each as <|file_sep|>NAME and its text; for
// vocabularies without such a token, behind the texts alone. kUnsupported if the vocabulary has no such
// tokens.
Result<std::vector<int32_t>> InfillPrompt(const Tokenizer& tokenizer, std::span<const InfillContext> context,
                                          std::string_view prefix, std::string_view suffix);

// Ends the answer, too, where a model goes on to another file, unless nothing but its length is to end it.
void StopAfterInfill(const Tokenizer& tokenizer, StreamRequest& stream);

}  // namespace qwen25
