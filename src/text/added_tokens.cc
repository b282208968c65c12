#include "text/added_tokens.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "text/unicode_class.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// Whether regular expressions match it with \w.
bool IsWord(char32_t c) {
  const auto code = static_cast<UChar32>(c);
  return u_hasBinaryProperty(code, UCHAR_ALPHABETIC) != 0 ||
         u_hasBinaryProperty(code, UCHAR_JOIN_CONTROL) != 0 ||
         (U_GET_GC_MASK(code) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

// Where the code point that ends before `end` begins; `end` > 0.
size_t LastCodePoint(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
  return begin;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<Pattern> patterns) : patterns_(std::move(patterns)) {
  const auto first = [](const Pattern& pattern) { return static_cast<unsigned char>(pattern.text[0]); };
  std::stable_sort(patterns_.begin(), patterns_.end(), [&](const Pattern& a, const Pattern& b) {
    return first(a) != first(b) ? first(a) < first(b) : a.text.size() > b.text.size();
  });
  for (const Pattern& pattern : patterns_) {
    ++first_of_byte_[first(pattern) + 1];
    if (first_bytes_.find(pattern.text[0]) == std::string::npos) first_bytes_.push_back(pattern.text[0]);
  }
  for (size_t byte = 0; byte < 256; ++byte) first_of_byte_[byte + 1] += first_of_byte_[byte];
}

bool AddedTokenFinder::StandsAlone(std::string_view text, size_t begin, size_t end) {
  const char* const stop = text.data() + text.size();
  if (begin > 0 && IsWord(DecodeCodePoint(text.data() + LastCodePoint(text, begin), stop).code_point))
    return false;
  return end == text.size() || !IsWord(DecodeCodePoint(text.data() + end, stop).code_point);
}

size_t AddedTokenFinder::SpacesBefore(std::string_view text, size_t end) {
  const UnicodeClassTable& classes = UnicodeClassTable::Get();
  while (end > 0) {
    const size_t begin = LastCodePoint(text, end);
    const DecodedCodePoint c = DecodeCodePoint(text.data() + begin, text.data() + end);
    if (!(classes[c.code_point] & kClassSpace)) break;
    end = begin;
  }
  return end;
}

size_t AddedTokenFinder::SpacesAfter(std::string_view text, size_t begin) {
  const UnicodeClassTable& classes = UnicodeClassTable::Get();
  while (begin < text.size()) {
    const DecodedCodePoint c = DecodeCodePoint(text.data() + begin, text.data() + text.size());
    if (!(classes[c.code_point] & kClassSpace)) break;
    begin += c.bytes;
  }
  return begin;
}

}  // namespace qwen25
