// Parses templates. Source of the grammar: the manual of Jinja 3.1, with the statements that Hugging Face
// transformers adds: break, continue and {% generation %}.
#pragma once

#include <string_view>

#include "base/status.h"
#include "text/jinja/ast.h"

namespace qwen25::jinja {

// No tree is deeper, so that walking it needs little stack.
inline constexpr uint32_t kMaxTreeDepth = 300;

// Parses a template and resolves its names. kInvalidArgument, with origin, line and column, for what is no
// template; kUnsupported for what is one of Jinja's, but not available here.
Result<Program> Parse(std::string_view source, std::string_view origin);

}  // namespace qwen25::jinja
