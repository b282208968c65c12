// Sets of code points as regular expressions name them, with the properties of Unicode 16.0 whatever ICU is
// installed (unicode_class.h says why).
#pragma once

#include <unicode/uniset.h>

#include <array>
#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/utf8.h"

namespace qwen25 {

// The set that \p{name} stands for: a general category ("L", "Lu", "Letter"), a script ("Han"), a POSIX class
// ("Alnum") or a binary property ("Alphabetic"); names as Oniguruma compares them, without case, spaces,
// hyphens and underscores. kUnsupported for other names.
Result<icu::UnicodeSet> PropertySet(std::string_view name);

// \w, \d, \h and [[:punct:]] differ from the properties of like names; `in_brackets` says whether \w stands
// in a bracket expression, where it leaves out U+00B2, B3, B9, BC, BD and BE (Oniguruma's table of Latin-1).
icu::UnicodeSet WordSet(bool in_brackets);
icu::UnicodeSet PunctuationAndSymbolSet();

// What Hugging Face's steps look for, each with the version of Unicode that its library has: Digits numbers
// of Unicode 17; Punctuation that of ASCII (with its symbols) and general category P of Unicode 8;
// StripAccents marks of Unicode 9.
icu::UnicodeSet NumericSet();
icu::UnicodeSet PreTokenizerPunctuationSet();
icu::UnicodeSet AccentSet();

// The simple case folding of a set: all code points that differ from a member in case only.
void CloseOverCase(icu::UnicodeSet& set);

// A frozen set that is fast to ask.
class CodePointSet {
 public:
  explicit CodePointSet(const icu::UnicodeSet& set);

  bool Contains(char32_t c) const {
    if (c < 0x80) return ascii_[c];
    if (c < 0x10000) return bmp_[c >> 6] >> (c & 63) & 1;
    return ContainsBeyond(c);
  }
  // The character at `p` < `end` if it is a member: its length in bytes; else 0. Ill-formed bytes count as
  // U+FFFD (utf8.h).
  uint32_t Match(const char* p, const char* end) const {
    const auto byte = static_cast<unsigned char>(*p);
    if (byte < 0x80) return ascii_[byte];
    const DecodedCodePoint c = DecodeCodePoint(p, end);
    return Contains(c.code_point) ? c.bytes : 0;
  }
  // The bytes with which a member's UTF-8 can begin; every byte that can begin an ill-formed sequence too, if
  // U+FFFD is a member.
  const std::bitset<256>& first_bytes() const { return first_bytes_; }

 private:
  bool ContainsBeyond(char32_t c) const;

  std::array<bool, 128> ascii_{};
  std::vector<uint64_t> bmp_;     // a bit per code point below U+10000
  std::vector<char32_t> bounds_;  // from U+10000 on: begins and ends of ranges, ascending
  std::bitset<256> first_bytes_;
};

}  // namespace qwen25
