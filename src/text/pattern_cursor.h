// Reads the text of a regular expression, one piece after another: what parsers of different dialects share.
#pragma once

#include <cstddef>
#include <string_view>

#include "text/utf8.h"

namespace qwen25 {

class PatternCursor {
 protected:
  // `pattern` must outlive the cursor.
  explicit PatternCursor(std::string_view pattern) : pattern_(pattern) {}

  bool AtEnd() const { return at_ >= pattern_.size(); }
  // Whether `text` comes next; Take goes on behind it if so.
  bool Next(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool Take(std::string_view text) {
    if (!Next(text)) return false;
    at_ += text.size();
    return true;
  }
  // There must be one.
  char32_t TakeCharacter() {
    const DecodedCodePoint c = DecodeCodePoint(pattern_.data() + at_, pattern_.data() + pattern_.size());
    at_ += c.bytes;
    return c.code_point;
  }

  const std::string_view pattern_;
  size_t at_ = 0;  // bytes that were read
};

}  // namespace qwen25
