// Splits text into the pieces inside which byte-pair merges happen. Hand-written, allocation-free, and equal
// to leftmost matching with the published regular expressions; every byte belongs to exactly one piece.
//
//   kQwen2 (REFERENCES: Qwen2.5's tokenizer.json)
//     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
//     \s+(?!\S)|\s+
//   kGpt2 (GPT-2's; the byte-level pre-tokenizer of Hugging Face)
//     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   kDigitsGpt2 (StarCoder, SmolLM): each number alone, then kGpt2 on what is between them. Numbers are here
//     those of Unicode 17, 13 more than \p{N}, as for the step Digits of Hugging Face.
//   kLlama3 (cl100k): kQwen2 with \p{N}{1,3} for \p{N}
#pragma once

#include <cstddef>
#include <string_view>

#include "text/unicode_class.h"

namespace qwen25 {

enum class PreTokenizerKind { kQwen2, kGpt2, kDigitsGpt2, kLlama3 };

// Cheap to copy. Ill-formed UTF-8 is split as its repaired form would be (utf8.h): each maximal subpart
// counts as one code point that is neither letter, number nor space.
class PreTokenizer {
 public:
  explicit PreTokenizer(PreTokenizerKind kind) : kind_(kind), classes_(&UnicodeClassTable::Get()) {}

  // End of the piece that starts at `begin` (< text.size()). A piece depends only on the text from `begin`
  // on.
  size_t NextPiece(std::string_view text, size_t begin) const;

  // Calls visit(std::string_view piece) for every piece of `text` in order.
  template <typename Visit>
  void ForEachPiece(std::string_view text, Visit&& visit) const {
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = NextPiece(text, begin);
      visit(text.substr(begin, end - begin));
      begin = end;
    }
  }

  PreTokenizerKind kind() const { return kind_; }

 private:
  PreTokenizerKind kind_;
  const UnicodeClassTable* classes_;
};

}  // namespace qwen25
