// The pieces of a Jinja template, in a form in which two templates that are spelled differently and render
// the same have the same pieces: line ends, a byte order mark, comments, white space between and inside tags,
// the marks that strip it, quotes, and how output is spread over literals do not matter.
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
  std::string content;  // the text; or the tokens of the tag, spelled in one way
  bool operator==(const JinjaPiece&) const = default;
};

// kInvalidArgument, without a place, for text that no Jinja template has (an unclosed tag or string), and for
// `raw` blocks, which are not handled.
Result<std::vector<JinjaPiece>> JinjaPieces(std::string_view source);

}  // namespace qwen25
