// Cuts the source of a template into tokens. Source of the rules: the manual of Jinja 3.1 with the settings
// of Hugging Face transformers (trim_blocks and lstrip_blocks on, no line statements).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/jinja/value.h"

namespace qwen25::jinja {

struct Token {
  enum class Kind {
    kData,  // text between tags
    kPrintBegin,
    kPrintEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kNumber,
    kOperator,
    kEnd,  // of the template
  };
  Kind kind;
  size_t at;         // of its first byte in the source
  std::string text;  // data, name, operator, what a string stands for, the spelling of a number
  Value number = {};
};

// Without a byte order mark, with '\n' for every line end and without the one at the end; ill-formed UTF-8 is
// repaired.
std::string NormalizeSource(std::string_view source);

// kInvalidArgument for what is no template; `*at` is then the place. The last token is kEnd.
Result<std::vector<Token>> Tokenize(std::string_view normalized_source, size_t* at);

// White space as Python's str.isspace() and \s in its regular expressions know it.
bool IsPythonSpace(char32_t code_point);

}  // namespace qwen25::jinja
