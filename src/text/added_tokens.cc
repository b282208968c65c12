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

AddedTokenFinder::Match AddedTokenFinder::FindNext(std::string_view text, size_t from) const {
  if (patterns_.empty()) return {0, nullptr};
  const bool one = first_bytes_.size() == 1;  // the usual case; find(char) is a vector loop
  while (true) {
    const size_t at = one ? text.find(first_bytes_[0], from) : text.find_first_of(first_bytes_, from);
    if (at == std::string_view::npos) return {0, nullptr};
    const std::string_view rest = text.substr(at);
    const auto byte = static_cast<unsigned char>(rest[0]);
    for (uint32_t i = first_of_byte_[byte]; i < first_of_byte_[byte + 1]; ++i) {
      if (rest.starts_with(patterns_[i].text)) return {at, &patterns_[i]};
    }
    from = at + 1;
  }
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
