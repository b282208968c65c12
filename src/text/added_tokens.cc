#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode_class.h"
#include "text/utf8.h"

namespace qwen25 {

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

size_t AddedTokenFinder::SpacesBefore(std::string_view text, size_t end) {
  const UnicodeClassTable& classes = UnicodeClassTable::Get();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && (text[begin] & 0xC0) == 0x80) --begin;
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
