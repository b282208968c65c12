// Cuts added tokens ("<|im_end|>") out of text: at each place the longest one that begins there, leftmost
// first, as Hugging Face `tokenizers` does.
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
    std::string text;  // what is searched: the content, or its normalised form; not empty
    int32_t id;
    bool lstrip;
    bool rstrip;
  };

  AddedTokenFinder() = default;
  explicit AddedTokenFinder(std::vector<Pattern> patterns);
  bool empty() const { return patterns_.empty(); }

  // Calls on_text(std::string_view) for the stretches between tokens (never empty) and on_token(int32_t id)
  // for the tokens, in order.
  template <typename OnText, typename OnToken>
  void Split(std::string_view text, OnText&& on_text, OnToken&& on_token) const {
    size_t done = 0;  // everything before this has been handed out
    for (size_t from = 0; from < text.size();) {
      const Match match = FindNext(text, from);
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
    const Pattern* pattern;  // null = there is none
  };

  Match FindNext(std::string_view text, size_t from) const;
  // Where the white space that ends before `end` begins, and where the one that begins at `begin` ends.
  static size_t SpacesBefore(std::string_view text, size_t end);
  static size_t SpacesAfter(std::string_view text, size_t begin);

  std::vector<Pattern> patterns_;     // by first byte, then longest first
  uint32_t first_of_byte_[257] = {};  // the patterns that begin with byte b: [first[b], first[b + 1])
  std::string first_bytes_;           // the distinct ones
};

}  // namespace qwen25
