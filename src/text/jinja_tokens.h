// Cuts Jinja templates into pieces in a canonical form. Two templates have the same pieces if they differ
// only in line ends, a byte order mark, comments, white space between and inside tags, the marks that strip
// it, quotes, or in how output is spread over literals.
//
// Source of the rules: the manual of Jinja 3.1, "Whitespace Control" and "Escaping", with the settings that
// Hugging Face transformers uses (trim_blocks and lstrip_blocks on).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace qwen25 {

struct JinjaPiece {
  enum class Kind {
    kText,       // text to print, never next to another one
    kPrint,      // {{ an expression }}
    kStatement,  // {% a statement %}
  };
  Kind kind;
  std::string content;  // the text; or the tokens of the tag in canonical spelling
  bool operator==(const JinjaPiece&) const = default;
};

// Errors of jinja::Tokenize, without a place.
Result<std::vector<JinjaPiece>> JinjaPieces(std::string_view source);

}  // namespace qwen25
