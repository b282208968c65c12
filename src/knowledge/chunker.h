// Cuts documents into chunks, small enough for one embedding and for a prompt.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace qwen25 {

struct ChunkOptions {
  size_t max_tokens = 300;     // by EstimateTokens
  size_t overlap_tokens = 40;  // longest end of a piece, in whole sentences, that the next one repeats
};

// Bytes [begin, end) of the text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;

  friend bool operator==(const TextRange&, const TextRange&) = default;
};

// Estimates how many tokens a byte-level BPE makes of `text`, rounded up: 1/4 token for a character of one
// byte, 1/2 for one of two bytes (Greek, Cyrillic), 3/4 for a longer one (Han, Kana, Thai).
size_t EstimateTokens(std::string_view text);

// The sentences of `text`, in order and without gaps. ICU's rules for all languages and blank lines end them;
// white space belongs to the sentence before it.
std::vector<TextRange> SentencesOf(std::string_view text);

// Pieces of at most max_tokens (or 4, if that is more) that cover the whole text, in order; neighbours may
// overlap. A piece ends at the last paragraph end in its second half, else at a sentence end. Longer
// sentences are cut after white space, or between characters if they have none. A text that fits is one
// piece; an empty text gives none.
std::vector<TextRange> ChunkText(std::string_view text, const ChunkOptions& options = {});

}  // namespace qwen25
