// Texts given as such or as the ids of their tokens, one or many: `prompt` and `input` of requests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "serve/api/object_reader.h"

namespace qwen25 {

// A text or its tokens; ids are at least 0, and there is at least one. Whether the vocabulary has them is for
// the server to check.
using PromptInput = std::variant<std::string, std::vector<int32_t>>;

// Reads a required member that is a string, an array of strings, an array of ids or an array of arrays of
// ids, at most 2048 prompts. A text may be empty only if `may_be_empty`.
void ReadPrompts(ObjectReader& body, std::string_view key, bool may_be_empty, std::vector<PromptInput>& out);

// Reads a required array of ids, which may be empty.
void ReadTokens(ObjectReader& body, std::string_view key, std::vector<int32_t>& out);

}  // namespace qwen25
