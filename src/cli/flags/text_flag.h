// A text from a flag, a file or a pipe.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"

namespace qwen25 {

// The text itself, or that of the file (data/read/text_stream.h), which is standard input if it is called
// "-". kInvalidArgument when neither or both are given.
Result<std::string> ReadTextFlag(const std::optional<std::string>& text, const std::string& file,
                                 const char* what);

}  // namespace qwen25
