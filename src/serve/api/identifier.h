// Names that a reply gives to things so that later requests can name them.
#pragma once

#include <string>
#include <string_view>

namespace qwen25 {

// "chatcmpl-" + 24 random letters and digits: no two are the same, and none can be guessed.
std::string NewIdentifier(std::string_view prefix);

}  // namespace qwen25
