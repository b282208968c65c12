// The text preparation of BERT's tokenizers, as Hugging Face `tokenizers` does it (BertNormalizer and
// BertPreTokenizer). Its tables of categories are those of Unicode 8.0: a character that is newer is no
// control character, accent or punctuation there, and so it is none here.
#pragma once

#include <string>
#include <string_view>

namespace qwen25 {

struct BertNormalizerOptions {
  bool clean_text = true;     // drop control characters, U+0000 and U+FFFD; white space becomes a space
  bool chinese_chars = true;  // a space before and after every Chinese character
  bool strip_accents = true;  // NFD without the nonspacing marks
  bool lowercase = true;      // each character by itself

  friend bool operator==(const BertNormalizerOptions&, const BertNormalizerOptions&) = default;
};

// Appends the normalised text to `out`. `text` must be well-formed UTF-8.
void NormalizeBert(std::string_view text, const BertNormalizerOptions& options, std::string& out);

// What separates words: White_Space.
bool IsBertSpace(char32_t c);
// What is a word of its own: ASCII punctuation (symbols such as $ included) and the categories P of Unicode.
bool IsBertPunctuation(char32_t c);

}  // namespace qwen25
