// Python's operations on strings, on text with marks. Positions and lengths are in characters (code points)
// where Python's are; all text is well-formed UTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/marked_text.h"

namespace qwen25::jinja {

size_t CountCodePoints(std::string_view text);

// Where the characters of a text begin. The text must outlive it.
class CodePoints {
 public:
  explicit CodePoints(std::string_view text);
  size_t size() const { return is_ascii_ ? bytes_ : offsets_.size() - 1; }
  // The byte at which character `i` begins, 0 <= i <= size().
  size_t Offset(size_t i) const { return is_ascii_ ? i : offsets_[i]; }
  // The inverse, for a byte at which a character begins.
  size_t Index(size_t offset) const;

 private:
  size_t bytes_;
  bool is_ascii_;
  std::vector<size_t> offsets_;
};

enum class Side { kLeft, kRight, kBoth };
// Without the white space at these sides; with `characters`, without these characters.
MarkedText Strip(const MarkedText& text, Side side, const std::optional<std::string>& characters);

// str.split and str.rsplit. `limit` < 0: no limit. `separator` must not be empty; none: white space.
std::vector<MarkedText> Split(const MarkedText& text, const std::optional<std::string>& separator,
                              int64_t limit);
std::vector<MarkedText> SplitFromRight(const MarkedText& text, const std::optional<std::string>& separator,
                                       int64_t limit);
std::vector<MarkedText> SplitLines(const MarkedText& text, bool keep_ends);

// The number of times that `part` occurs, without overlaps.
size_t CountOf(std::string_view text, std::string_view part);
// str.replace: the first `limit` occurrences; < 0: all.
MarkedText Replace(const MarkedText& text, const MarkedText& from, const MarkedText& to, int64_t limit);

// The five characters that HTML needs escaped, as entities.
MarkedText EscapeHtml(const MarkedText& text);

// str.upper, lower, capitalize, title, swapcase, casefold.
enum class Case { kUpper, kLower, kCapitalize, kTitle, kSwap, kFold };
MarkedText ToCase(const MarkedText& text, Case kind);

// str.isdigit and so on; `name` is the name of the method. Nothing for another name.
std::optional<bool> IsAll(std::string_view text, std::string_view name);

// Whether Python prints the character in a repr as it is.
bool IsPrintable(char32_t code_point);

}  // namespace qwen25::jinja
