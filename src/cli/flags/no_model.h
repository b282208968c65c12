// What a verb says that needs a model and got none.
#pragma once

#include <string>

namespace qwen25 {

// The models that are here and can write text, as commands of `verb` ("chat"), and how to get one. Ends with
// a line end.
std::string NoModelMessage(const std::string& verb);

}  // namespace qwen25
