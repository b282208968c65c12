// Cuts added tokens ("<|im_end|>") out of text: always the leftmost one, and of those that begin there the
// longest, as Hugging Face `tokenizers` does.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_spec.h"

namespace qwen25 {

class AddedTokenFinder {
 public:
  struct Pattern {
    std::string text;  // what is searched for: the content, or its normalised form; not empty
    int32_t id;
    bool control;  // IsControlToken
    bool lstrip;
    bool rstrip;
    bool single_word;
  };

  AddedTokenFinder() = default;
  explicit AddedTokenFinder(std::vector<Pattern> patterns);
  bool empty() const { return patterns_.empty(); }

  // Calls on_text(std::string_view) for the stretches between tokens (never empty) and on_token(int32_t id)
  // for the tokens, in order. Only tokens for which allow(const Pattern&, size_t begin) is true are found;
  // `begin` is where the token begins in `text`.
  template <typename Allow, typename OnText, typename OnToken>
  void Split(std::string_view text, Allow&& allow, OnText&& on_text, OnToken&& on_token) const {
    size_t done = 0;  // everything before this has been handed out
    for (size_t from = 0; from < text.size();) {
      const Match match = FindNext(text, from, allow);
      if (match.pattern == nullptr) break;
      from = match.begin + match.pattern->text.size();
      size_t begin = match.begin, end = from;
      if (match.pattern->lstrip) begin = std::max(SpacesBefore(text, begin), done);
      if (match.pattern->rstrip) end = SpacesAfter(text, end);
      if (done < begin) on_text(text.substr(done, begin - done));
      on_token(match.pattern->id);
      done = end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  struct Match {
    size_t begin;
    const Pattern* pattern;  // null: there is none
  };

  template <typename Allow>
  Match FindNext(std::string_view text, size_t from, Allow&& allow) const {
    for (size_t at; (at = NextFirstByte(text, from)) != std::string_view::npos; from = at + 1) {
      const std::string_view rest = text.substr(at);
      const auto byte = static_cast<unsigned char>(rest[0]);
      for (uint32_t i = first_of_byte_[byte]; i < first_of_byte_[byte + 1]; ++i) {
        const Pattern& pattern = patterns_[i];
        if (!rest.starts_with(pattern.text) || !allow(pattern, at)) continue;
        if (!pattern.single_word || StandsAlone(text, at, at + pattern.text.size())) return {at, &pattern};
      }
    }
    return {0, nullptr};
  }
  // The next place at which a byte begins some token; npos if there is none.
  size_t NextFirstByte(std::string_view text, size_t from) const {
    if (first_bytes_.size() == 1) return text.find(first_bytes_[0], from);  // the usual case; a vector loop
    return text.find_first_of(first_bytes_, from);
  }
  // Whether text[begin, end) has no letter, digit or other part of a word right before or after it.
  static bool StandsAlone(std::string_view text, size_t begin, size_t end);
  // The begin of the white space right before `end`, and the end of the white space at `begin`.
  static size_t SpacesBefore(std::string_view text, size_t end);
  static size_t SpacesAfter(std::string_view text, size_t begin);

  std::vector<Pattern> patterns_;     // by first byte, then longest first
  uint32_t first_of_byte_[257] = {};  // the patterns that begin with byte b: [first[b], first[b + 1])
  std::string first_bytes_;           // the distinct ones
};

}  // namespace qwen25
